import Foundation

/// Hears what happens, and finds who waits for it. It runs on the client's own thread, and never waits there.
final class Hearing: Listener, @unchecked Sendable {
    let closed = Answer<Ending>()
    private let tokens: TokenProvider?

    /// Held for as long as a call takes, so that no answer comes before it is awaited.
    private let lock = NSLock()
    private weak var native: NativeClient?
    private var token: Task<Void, Never>?
    private var state = State.connecting
    private var ending: Ending?
    private var answers: [UInt64: Answer<Event>] = [:]
    private var subscriptions: [UInt64: Subscription] = [:]
    private var wantRoom: [Answer<Void>] = []
    private var watchers: [UUID: AsyncStream<State>.Continuation] = [:]
    private var readers: [UUID: AsyncStream<Event>.Continuation] = [:]

    init(_ tokens: TokenProvider?) {
        self.tokens = tokens
    }

    func begin(_ native: NativeClient) {
        locked { self.native = native }
        native.begin()
    }

    private func locked<Value>(_ body: () throws -> Value) rethrows -> Value {
        lock.lock()
        defer { lock.unlock() }
        return try body()
    }

    private func checkOpen() throws {
        if let ending {
            throw CloudSignalError(ending.problem)
        }
    }

    /// Makes a call whose answer comes later.
    func expect(_ call: () throws -> UInt64) throws -> (number: UInt64, answer: Answer<Event>) {
        try locked {
            try checkOpen()
            let (number, answer) = (try speak(call), Answer<Event>())
            answers[number] = answer
            return (number, answer)
        }
    }

    /// Publishes, or answers what has to be awaited when there is no room.
    func publish(_ call: () throws -> UInt64) throws -> (ticket: Answer<Event>?, room: Answer<Void>?) {
        try locked {
            try checkOpen()
            do {
                let (number, answer) = (try speak(call), Answer<Event>())
                answers[number] = answer
                return (answer, nil)
            } catch let full as CloudSignalError where full.blame == .limit {
                let room = Answer<Void>()
                wantRoom.append(room)
                return (nil, room)
            }
        }
    }

    func listen(_ call: () throws -> Subscription) throws -> Subscription {
        try locked {
            try checkOpen()
            let subscription = try speak(call)
            subscriptions[subscription.number] = subscription
            return subscription
        }
    }

    func forget(_ number: UInt64) {
        locked { answers[number] = nil }
    }

    /// The state now, and every later one that is still true when it is looked at.
    func states() -> AsyncStream<State> {
        AsyncStream(bufferingPolicy: .bufferingNewest(1)) { watcher in
            let id = UUID()
            let isOver = locked {
                watcher.yield(state)
                watchers[id] = ending == nil ? watcher : nil
                return ending != nil
            }
            watcher.onTermination = { [weak self] _ in self?.locked { self?.watchers[id] = nil } }
            if isOver {
                watcher.finish()
            }
        }
    }

    func events() -> AsyncStream<Event> {
        AsyncStream(bufferingPolicy: .bufferingNewest(CloudSignalClient.eventsMax)) { reader in
            let id = UUID()
            let isOver = locked {
                readers[id] = ending == nil ? reader : nil
                return ending != nil
            }
            reader.onTermination = { [weak self] _ in self?.locked { self?.readers[id] = nil } }
            if isOver {
                reader.finish()
            }
        }
    }

    func onEvents(events: [Event]) {
        for event in events {
            hear(event)
        }
    }

    private func hear(_ event: Event) {
        switch event {
        case let .stateChanged(now):
            change(State(now))
        case .sessionOpened, .unreachable, .warned, .messagesDropped:
            for reader in locked({ Array(readers.values) }) {
                reader.yield(event)
            }
        case let .tokenWanted(request, reason):
            answerToken(request, reason)
        case let .subscriptionGranted(number, qos):
            locked { subscriptions[number] }?.granted.end(.success(qos))
        case let .subscriptionEnded(number, problem):
            locked { subscriptions.removeValue(forKey: number) }?.end(problem)
        case let .messageArrived(message):
            locked { subscriptions[message.subscription] }?.arrived(message)
        case .publishStored:
            break
        case let .publishEnded(ticket, _):
            grantRoom()
            answer(ticket, event)
        case let .flushEnded(ticket):
            answer(ticket, event)
        case let .giveUpEnded(ticket, _):
            answer(ticket, event)
        case let .questionAnswered(question, _):
            answer(question, event)
        case let .questionFailed(question, _):
            answer(question, event)
        }
    }

    private func change(_ now: State) {
        let told = locked {
            state = now
            return Array(watchers.values)
        }
        for watcher in told {
            watcher.yield(now)
        }
    }

    private func answer(_ number: UInt64, _ event: Event) {
        locked { answers.removeValue(forKey: number) }?.end(.success(event))
    }

    /// One place for one who waits; who has given up passes it on.
    func grantRoom() {
        while let next = locked({ wantRoom.isEmpty ? nil : wantRoom.removeFirst() }) {
            if next.end(.success(Void())) {
                return
            }
        }
    }

    /// Only the newest question counts.
    private func answerToken(_ request: UInt64, _ reason: TokenReason) {
        guard let native = locked({ self.native }), let tokens else { return }
        let answering = Task {
            do {
                native.provideToken(request: request, token: try await tokens(reason))
            } catch is TokenRefused {
                native.refuseToken(request: request, why: .refused)
            } catch {
                native.refuseToken(request: request, why: .failed)
            }
        }
        let before = locked {
            let before = token
            token = answering
            return before
        }
        before?.cancel()
    }

    func onClosed(ending: Ending) {
        let error = CloudSignalError(ending.problem)
        let (unanswered, open, waiting, told, read, asked) = locked {
            self.ending = ending
            state = .closed(ending)
            defer {
                answers = [:]
                subscriptions = [:]
                wantRoom = []
                watchers = [:]
                readers = [:]
            }
            return (answers.values, subscriptions.values, wantRoom, watchers.values, readers.values, token)
        }
        asked?.cancel()
        unanswered.forEach { $0.end(.failure(error)) }
        open.forEach { $0.end(ending.problem) }
        waiting.forEach { $0.end(.failure(error)) }
        for watcher in told {
            watcher.yield(.closed(ending))
            watcher.finish()
        }
        read.forEach { $0.finish() }
        closed.end(.success(ending))
    }
}

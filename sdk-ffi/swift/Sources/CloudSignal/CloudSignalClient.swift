import Foundation

/// Makes a token whenever one is needed: at first, before one ends, and after the broker has refused one. What it throws
/// counts as a failure that passes, and it is asked again later; `TokenRefused` closes the client.
public typealias TokenProvider = @Sendable (TokenReason) async throws -> Token

/// A client of an MQTT broker. It keeps its connection until `close`: it comes back after every loss, with its session and
/// its subscriptions, and what is published meanwhile waits.
///
/// Nothing blocks a thread. What goes wrong is a `CloudSignalError`, which says who is to blame.
public actor CloudSignalClient {
    /// How many events wait for whoever reads `events`; then the oldest are missed.
    public static let eventsMax = 256
    /// How many messages wait for a loop, unless its subscription says otherwise.
    public static let aheadMessagesDefault = 256

    /// The client identifier.
    public nonisolated let clientId: String

    private let native: NativeClient
    private let hearing: Hearing
    private var end: Task<Ending, Error>?

    private init(_ native: NativeClient, _ hearing: Hearing) {
        self.native = native
        self.hearing = hearing
        clientId = native.clientId()
    }

    /// Makes a client, which begins to connect; `awaitConnected` awaits that it is. It reads certificates and the store,
    /// away from the calling task. A `store` counts for more than `storeFolder`.
    public static func open(
        _ options: ClientOptions,
        store: RecordStore? = nil,
        tokens: TokenProvider? = nil
    ) async throws -> CloudSignalClient {
        var options = options
        if tokens != nil {
            options.login = .tokens
        }
        let (hearing, chosen) = (Hearing(tokens), options)
        let native = try await blocking { try speak { try NativeClient.open(options: chosen, listener: hearing, store: store) } }
        hearing.begin(native)
        return CloudSignalClient(native, hearing)
    }

    /// What the client is doing, now and from now on. Who is slow sees the latest.
    public nonisolated var states: AsyncStream<State> { hearing.states() }

    /// What else happens, for logs: sessions that begin and go on, attempts that fail, warnings, messages at QoS 0 that were
    /// dropped.
    public nonisolated var events: AsyncStream<Event> { hearing.events() }

    /// Awaits that the broker has accepted the client. Throws when the client is closed instead.
    public func awaitConnected() async throws {
        for await state in states {
            switch state {
            case .connected: return
            case let .closed(ending): throw CloudSignalError(ending.problem)
            case .connecting, .waiting, .suspended: continue
            }
        }
        throw CancellationError()
    }

    /// Publishes a message, now or as soon as there is a connection, and awaits what becomes of it. While the queue is full
    /// it waits for room. Messages of one task leave in their order.
    ///
    /// A task that is cancelled gives up waiting only: the message goes its way.
    @discardableResult
    public func publish(_ publication: Publication) async throws -> PublishOutcome {
        while true {
            let (ticket, room) = try hearing.publish { try native.publish(publication: publication) }
            if let ticket {
                guard case let .publishEnded(_, outcome) = try await ticket.value() else { continue }
                if case let .failed(problem) = outcome {
                    throw CloudSignalError(problem)
                }
                return outcome
            }
            try await room?.value()
        }
    }

    /// The same for a topic and a payload. A retained message is kept by the broker for later subscribers.
    @discardableResult
    public func publish(
        _ payload: Data,
        to topic: String,
        qos: QosLevel = .atLeastOnce,
        retain: Bool = false
    ) async throws -> PublishOutcome {
        try await publish(Publication(topic: topic, payload: payload, qos: qos, retain: retain))
    }

    /// The same for text.
    @discardableResult
    public func publish(
        _ text: String,
        to topic: String,
        qos: QosLevel = .atLeastOnce,
        retain: Bool = false
    ) async throws -> PublishOutcome {
        try await publish(Data(text.utf8), to: topic, qos: qos, retain: retain)
    }

    /// The messages that match a filter, in which `+` stands for one level and `#` for all that follow. The subscription
    /// begins now and ends with the loop that reads it: leaving the loop unsubscribes at the broker.
    public func messages(_ filter: String, qos: QosLevel = .atLeastOnce) throws -> Messages {
        try messages(SubscribeOptions(filter: filter, qos: qos))
    }

    /// The same with every option.
    public func messages(_ options: SubscribeOptions) throws -> Messages {
        let ahead = options.aheadMessagesMax.map { Int(max($0, 1)) } ?? Self.aheadMessagesDefault
        var arriving: AsyncThrowingStream<Message, Error>.Continuation!
        let stream = AsyncThrowingStream<Message, Error>(bufferingPolicy: .bufferingOldest(ahead)) { arriving = $0 }
        let (native, continuation) = (native, arriving!)
        let subscription = try hearing.listen {
            Subscription(native, try native.subscribe(options: options), continuation)
        }
        let number = subscription.number
        continuation.onTermination = { [weak native] _ in native?.unsubscribe(subscription: number) }
        return Messages(stream: stream, subscription: subscription)
    }

    /// Asks whoever listens to the topic, and awaits the answer, `patience` seconds at most. Where nobody listens it fails at
    /// once. MQTT 5 only. A task that is cancelled gives the question up.
    public func ask(_ publication: Publication, patience: TimeInterval = 30) async throws -> Message {
        let patienceMs = UInt64(max(patience, 0) * 1_000)
        let (number, answer) = try hearing.expect { try native.ask(publication: publication, patienceMs: patienceMs) }
        let (native, hearing) = (native, hearing)
        let event = try await answer.value(gaveUp: {
            hearing.forget(number)
            native.giveUpQuestion(question: number)
        })
        switch event {
        case let .questionAnswered(_, message): return message
        case let .questionFailed(_, problem): throw CloudSignalError(problem)
        default: throw CloudSignalError(.usage, "a question ends with an answer or without one")
        }
    }

    /// Answers a message that was asked with `ask`. Fails when it wants no answer.
    @discardableResult
    public func answer(_ question: Message, with payload: Data) async throws -> PublishOutcome {
        guard let topic = question.responseTopic else {
            throw CloudSignalError(.usage, "nobody waits for an answer")
        }
        var publication = Publication(topic: topic, payload: payload, qos: question.qos)
        publication.correlationData = question.correlationData
        return try await publish(publication)
    }

    /// Awaits that everything published before is over.
    public func flush() async throws {
        let (number, answer) = try hearing.expect { try native.flush() }
        let hearing = hearing
        _ = try await answer.value(gaveUp: { hearing.forget(number) })
    }

    /// Lets go of a message that a warning has called stuck, so that what waits behind it goes on: it is indeterminate then.
    /// One that is on its way just now stays, and so does one of QoS 2: `false`.
    public func giveUp(_ message: UInt64) async throws -> Bool {
        let (number, answer) = try hearing.expect { try native.giveUpMessage(message: message) }
        let hearing = hearing
        guard case let .giveUpEnded(_, isGivenUp) = try await answer.value(gaveUp: { hearing.forget(number) }) else {
            return false
        }
        return isGivenUp
    }

    /// Disconnects until `resume`; session, subscriptions and queue stay. For an application that goes to the background.
    public nonisolated func suspend() throws {
        try speak { try native.suspend() }
    }

    /// Connects again after `suspend`, or at once while it waits for the next attempt.
    public nonisolated func resume() throws {
        try speak { try native.resume() }
    }

    /// The device woke up, or is on another network: what looked like a connection may be dead.
    public nonisolated func wake() throws {
        try speak { try native.wake() }
    }

    /// Says goodbye and awaits that everything has ended: the connection, the store, the thread. The broker keeps the
    /// session. What still waits to be sent stays in the store, or is lost if there is none: `flush` before. It cannot be
    /// cancelled, lasts no longer than the goodbye, and may be called again.
    @discardableResult
    public func close() async throws -> Ending {
        try await end { $0.finish() }
    }

    /// The same, and broker and store forget everything.
    @discardableResult
    public func closeAndForget() async throws -> Ending {
        try await end { $0.finishAndForget() }
    }

    private func end(_ goodbye: (NativeClient) -> Void) async throws -> Ending {
        if end == nil {
            goodbye(native)
            let (native, hearing) = (native, hearing)
            // A task of its own is not cancelled with the one that has asked for the end.
            end = Task.detached {
                let ending = try await hearing.closed.value()
                try await blocking { native.join() }
                return ending
            }
        }
        guard let end else { throw CancellationError() }
        return try await end.value
    }
}

/// Runs what may block a thread away from those of tasks.
func blocking<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global().async {
            continuation.resume(with: Result { try work() })
        }
    }
}

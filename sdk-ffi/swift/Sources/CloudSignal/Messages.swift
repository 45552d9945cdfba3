import Foundation

/// The messages of one subscription, for one loop. The loop's end is the end of the subscription at the broker: when its
/// task is cancelled, or when the loop is left and nothing holds the sequence any more.
///
/// A message counts as received when the next one is asked for, so a loop that is slow slows the broker, and loses nothing
/// at QoS 1 and 2.
public struct Messages: AsyncSequence, Sendable {
    public typealias Element = Message

    let stream: AsyncThrowingStream<Message, Error>
    let subscription: Subscription

    public struct AsyncIterator: AsyncIteratorProtocol {
        var messages: AsyncThrowingStream<Message, Error>.AsyncIterator
        let subscription: Subscription
        var taken: UInt64?

        /// The next message, or `nil` when the application has ended the subscription. Throws what the broker or the client
        /// has ended it with.
        public mutating func next() async throws -> Message? {
            if let taken {
                subscription.done(taken)
            }
            taken = nil
            let message = try await messages.next()
            taken = message?.id
            return message
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(messages: stream.makeAsyncIterator(), subscription: subscription)
    }

    /// The highest QoS of its messages, once the broker has granted it.
    public func granted() async throws -> QosLevel {
        try await subscription.granted.value()
    }

    /// Ends it, and awaits that the broker has heard.
    public func unsubscribe() async throws {
        subscription.leave()
        try await subscription.ended.value()
    }
}

/// What the client knows of a subscription.
final class Subscription: Sendable {
    let number: UInt64
    let granted = Answer<QosLevel>()
    let ended = Answer<Void>()
    private let native: NativeClient
    private let arriving: AsyncThrowingStream<Message, Error>.Continuation

    init(_ native: NativeClient, _ number: UInt64, _ arriving: AsyncThrowingStream<Message, Error>.Continuation) {
        self.native = native
        self.number = number
        self.arriving = arriving
    }

    func done(_ message: UInt64) {
        native.done(messages: [message])
    }

    func leave() {
        native.unsubscribe(subscription: number)
    }

    func arrived(_ message: Message) {
        // There is always room: no more is handed over ahead than the stream buffers.
        arriving.yield(message)
    }

    func end(_ problem: Problem?) {
        let error = problem.map { CloudSignalError($0) }
        arriving.finish(throwing: error)
        ended.end(.success(Void()))
        granted.end(.failure(error ?? CloudSignalError(.usage, "it was ended before the broker granted it")))
    }
}

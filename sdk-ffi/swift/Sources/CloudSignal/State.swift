import Foundation

/// What a client is doing.
public enum State: Equatable, Sendable {
    /// Opening a connection, waiting for a token, or for the broker's word.
    case connecting
    /// The broker has accepted the client.
    case connected
    /// The last attempt failed, or the connection was lost; another attempt follows. The interval is seconds from the moment
    /// it was said, and the reason code is the broker's, if it was the broker.
    case waiting(retryIn: TimeInterval, why: LossReason, reason: UInt8?)
    /// Disconnected by `suspend`, until `resume`.
    case suspended
    /// The client has ended, for ever.
    case closed(Ending)

    init(_ state: ConnectionState) {
        switch state {
        case .connecting: self = .connecting
        case .connected: self = .connected
        case let .waiting(retryInMs, why, reason):
            self = .waiting(retryIn: TimeInterval(retryInMs) / 1_000, why: why, reason: reason)
        case .suspended: self = .suspended
        }
    }
}

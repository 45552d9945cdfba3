import Foundation

@_exported import CloudSignalFFI

/// Why something did not come about.
public struct CloudSignalError: Error, LocalizedError, Equatable, Sendable {
    /// Who is to blame: the caller, a limit, the end of the client, the broker, the network, or the store.
    public let blame: Blame
    /// The broker's reason code, MQTT 5, where it has given one.
    public let reason: UInt8?
    /// What has happened, for people.
    public let detail: String

    public var errorDescription: String? { detail }

    init(_ blame: Blame, _ detail: String) {
        self.blame = blame
        self.reason = nil
        self.detail = detail
    }

    init(_ problem: Problem) {
        blame = problem.blame
        reason = problem.reason
        detail = problem.detail
    }

    init(_ error: ClientError) {
        switch error {
        case let .Usage(detail): self.init(.usage, detail)
        case let .Limit(detail): self.init(.limit, detail)
        case let .Closed(detail): self.init(.closed, detail)
        case let .Storage(detail): self.init(.storage, detail)
        }
    }
}

/// To be thrown by a token provider when whoever issues tokens will not issue one, however often it is asked.
public struct TokenRefused: Error, Sendable {
    public init() {}
}

/// Makes a call, whose error is told in our words.
func speak<Value>(_ call: () throws -> Value) throws -> Value {
    do {
        return try call()
    } catch let error as ClientError {
        throw CloudSignalError(error)
    }
}

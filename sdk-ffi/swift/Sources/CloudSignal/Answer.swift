import Foundation

/// What is awaited under the number that a call has answered. The first end counts.
final class Answer<Value: Sendable>: @unchecked Sendable {
    private enum Stage {
        case nobodyWaits
        case awaited(CheckedContinuation<Value, Error>)
        case ended(Result<Value, Error>)
    }

    private let lock = NSLock()
    private var stage = Stage.nobodyWaits

    /// Ends it, and says whether this was the first end.
    @discardableResult
    func end(_ result: Result<Value, Error>) -> Bool {
        lock.lock()
        let before = stage
        if case .ended = before {
            lock.unlock()
            return false
        }
        stage = .ended(result)
        lock.unlock()
        if case let .awaited(continuation) = before {
            continuation.resume(with: result)
        }
        return true
    }

    /// Awaits the end. A task that is cancelled gives up, and `gaveUp` is called. To be awaited once.
    func value(gaveUp: @escaping @Sendable () -> Void = {}) async throws -> Value {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                lock.lock()
                if case let .ended(result) = stage {
                    lock.unlock()
                    continuation.resume(with: result)
                    return
                }
                stage = .awaited(continuation)
                lock.unlock()
            }
        } onCancel: {
            if end(.failure(CancellationError())) {
                gaveUp()
            }
        }
    }
}

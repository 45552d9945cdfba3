#if canImport(SwiftUI)
import SwiftUI

extension View {
    /// Keeps a client connected while this scene is in the foreground, and suspended in the background, where the system
    /// takes the network away: the broker keeps its messages. To be said once, of the outermost view.
    public func connection(of client: CloudSignalClient?) -> some View {
        modifier(FollowScenePhase(client: client))
    }
}

private struct FollowScenePhase: ViewModifier {
    let client: CloudSignalClient?
    @Environment(\.scenePhase) private var phase

    func body(content: Content) -> some View {
        content.task(id: phase) {
            await client?.follow(phase)
        }
    }
}

extension CloudSignalClient {
    /// Suspends in the background, and resumes when the scene is active. A client that is closed stays closed.
    public func follow(_ phase: ScenePhase) async {
        switch phase {
        case .background: try? suspend()
        case .active: try? resume()
        case .inactive: break
        @unknown default: break
        }
    }
}
#endif

// Who is there: a retained message for each member of a room, and a will that takes it back.

export { Members, members, type MembersOptions } from "./presence/members.js";
export { Presence, type PresenceOptions } from "./presence/presence.js";

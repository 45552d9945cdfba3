/** The topic below which each member has one of its own. */
export function checkRoom(room: string): string {
  if (room !== "" && !/[+#\0]/.test(room) && !room.startsWith("$share/")) return room;
  throw new TypeError("a room is a topic without wildcards");
}

/** A member is one level of a topic. */
export function checkMember(member: string): string {
  if (member !== "" && !/[+#/\0]/.test(member)) return member;
  throw new TypeError("a member is one level of a topic: not empty, without +, # and /");
}

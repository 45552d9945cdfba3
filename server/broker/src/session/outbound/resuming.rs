//! What was on its way when the last run ended.

use alloc::collections::BTreeMap;

use cloudsignal_core::Qos;
use cloudsignal_core::codec::PacketId;

use super::packet_ids::IdSet;
use super::{InFlight, Outbound, Progress, Stage};
use crate::turn::Desk;

impl Outbound {
    /// What was stored comes back: everything is in the queue, in order, and `begun` says what left it. What was in
    /// front of such a delivery has left it too; its packet id is forgotten, which at QoS 1 does no harm.
    pub(crate) fn resume(&mut self, desk: &mut Desk, mut begun: BTreeMap<PacketId, (u64, Progress)>) {
        let Some((&newest_id, &(newest, _))) = begun.iter().max_by_key(|(_, (order, _))| *order) else {
            return;
        };
        let mut ids = IdSet::of(begun.keys());
        self.last_packet_id = newest_id.get();
        let mut found: BTreeMap<u64, InFlight> = BTreeMap::new();
        let mut by_order: BTreeMap<u64, (PacketId, Progress)> = BTreeMap::new();
        while let Some((packet_id, (order, progress))) = begun.pop_first() {
            by_order.insert(order, (packet_id, progress));
        }
        self.begun = newest;
        let mut last_packet_id = self.last_packet_id;
        let mut bytes = 0;
        self.queue.retain(desk, |pending| {
            let order = pending.order;
            let (packet_id, tried) = match by_order.get(&order) {
                Some((packet_id, Progress::Sent)) => (*packet_id, true),
                Some((_, Progress::Released)) => return false,
                None if order > newest || pending.qos == Qos::ExactlyOnce => return true,
                None => match ids.take_behind(last_packet_id) {
                    Some(packet_id) => {
                        last_packet_id = packet_id.get();
                        (packet_id, false)
                    }
                    None => return true,
                },
            };
            bytes += pending.message.size();
            found.insert(
                order,
                InFlight::restored(packet_id, Stage::Published(pending.clone()), tried),
            );
            false
        });
        for (order, (packet_id, progress)) in by_order {
            if progress == Progress::Released {
                found.insert(order, InFlight::restored(packet_id, Stage::Released(order), true));
            }
        }
        self.window = found.into_values().collect();
        self.window_bytes = bytes;
        desk.counters.inflight_bytes_now += bytes as u64;
        (self.last_packet_id, self.stepped_over) = (last_packet_id, true);
    }
}

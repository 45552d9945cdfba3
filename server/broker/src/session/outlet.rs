//! Where messages leave a session for its client: next to nothing as long as there are none.

use alloc::boxed::Box;
use core::ops::{Deref, DerefMut};

use super::Outbound;
use crate::turn::Desk;

/// An [`Outbound`] that is there while anything is on its way, or a client. Reading it while it rests shows an empty
/// one; writing wakes it.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    resting: Resting,
    awake: Option<Box<Outbound>>,
}

/// What a session remembers of deliveries that are all done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Resting {
    pub(super) last_order: u64,
    pub(super) dropped: u32,
    pub(super) last_packet_id: u16,
}

static EMPTY: Outbound = Outbound::woken(Resting::NEVER);

impl Resting {
    /// Of a session that there was never anything for.
    const NEVER: Self = Self {
        last_order: 0,
        dropped: 0,
        last_packet_id: 0,
    };
}

impl Outlet {
    pub(crate) fn last_order(&self) -> u64 {
        let awake = self.awake.as_deref();
        awake.map_or(self.resting.last_order, Outbound::last_order)
    }

    /// Orders of deliveries are above this one from now on.
    pub(crate) fn skip_orders(&mut self, order: u64) {
        match self.awake.as_deref_mut() {
            Some(awake) => awake.skip_orders(order),
            None => self.resting.last_order = self.resting.last_order.max(order),
        }
    }

    /// The client is away: what is not needed any more goes, which is mostly everything.
    pub(crate) fn rest(&mut self, desk: &Desk) {
        if let Some(resting) = self.awake.as_deref().and_then(|it| it.resting(desk.stored)) {
            *self = Self { resting, awake: None };
        }
    }
}

impl Deref for Outlet {
    type Target = Outbound;

    #[inline]
    fn deref(&self) -> &Outbound {
        self.awake.as_deref().unwrap_or(&EMPTY)
    }
}

impl DerefMut for Outlet {
    #[inline]
    fn deref_mut(&mut self) -> &mut Outbound {
        self.awake.get_or_insert_with(|| wake(self.resting))
    }
}

/// Once for each connection: it does not stand in the way of what happens for each message.
#[cold]
#[inline(never)]
fn wake(resting: Resting) -> Box<Outbound> {
    Box::new(Outbound::woken(resting))
}

#[cfg(test)]
mod tests {
    use cloudsignal_core::Qos;

    use super::*;
    use crate::limits::Limits;

    #[test]
    fn orders_and_packet_ids_go_on_behind_a_rest() {
        let desk = Desk::new(Limits::default());
        let mut outlet = Outlet::default();
        assert_eq!(outlet.next_order(Qos::AtLeastOnce, 0), 1);
        let packet_id = outlet.next_packet_id();
        outlet.dropped = 3;
        outlet.rest(&desk);
        assert!(outlet.awake.is_none() && outlet.queue.is_empty());
        assert_eq!(outlet.last_order(), 1);
        assert_eq!(outlet.next_order(Qos::AtLeastOnce, 0), 2);
        assert_eq!(outlet.next_packet_id().get(), packet_id.get() + 1);
        assert_eq!(outlet.dropped, 3);
    }

    #[test]
    fn orders_begin_above_what_was_skipped_and_above_the_floor() {
        let mut outlet = Outlet::default();
        outlet.skip_orders(70);
        assert!(outlet.awake.is_none());
        assert_eq!(outlet.next_order(Qos::ExactlyOnce, 50), 71);
        outlet.skip_orders(7);
        assert_eq!(outlet.next_order(Qos::AtMostOnce, 100), 0);
        assert_eq!(outlet.next_order(Qos::AtLeastOnce, 100), 101);
        assert_eq!(outlet.next_order(Qos::AtLeastOnce, 100), 102);
    }

    #[test]
    fn it_takes_24_bytes() {
        assert_eq!(size_of::<Outlet>(), 24);
    }
}

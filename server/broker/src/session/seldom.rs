//! What few sessions and connections have: it takes memory of its own once it holds something, and a pointer until then.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

/// A `T` that is mostly empty. Reading it shows an empty one; writing makes it.
#[derive(Debug, Default)]
pub(crate) struct Seldom<T>(Option<Box<T>>);

/// Something that may be empty.
pub(crate) trait Vacant: Default + 'static {
    /// An empty one, for everybody.
    const VACANT: &'static Self;

    fn is_vacant(&self) -> bool;
}

impl<T: Vacant> Seldom<T> {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// To change what is there, if anything is.
    #[inline]
    pub(crate) fn existing(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// Gives back what an empty one takes.
    pub(crate) fn rest(&mut self) {
        self.0.take_if(|own| own.is_vacant());
    }
}

impl<T: Vacant> Deref for Seldom<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::VACANT)
    }
}

impl<T: Vacant> DerefMut for Seldom<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_with(Box::default)
    }
}

impl Vacant for BTreeSet<u16> {
    const VACANT: &'static Self = &Self::new();

    fn is_vacant(&self) -> bool {
        self.is_empty()
    }
}

impl<T: 'static> Vacant for VecDeque<T> {
    const VACANT: &'static Self = &Self::new();

    fn is_vacant(&self) -> bool {
        self.is_empty()
    }
}

impl<T: 'static> Vacant for Vec<T> {
    const VACANT: &'static Self = &Self::new();

    fn is_vacant(&self) -> bool {
        self.is_empty()
    }
}

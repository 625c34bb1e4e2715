//! Parts of a session that take memory only once they are used: whoever proves an address can have sessions made, and
//! most of what one needs to carry data stays as it was at the start until the far end has said something.

use core::cell::OnceCell;
use core::fmt;
use core::ops::{Deref, DerefMut};

use crate::congestion::Congestion;

/// What is the same at the start of every session.
pub(crate) trait Blank: Sized + 'static {
    /// As it is at the start.
    const NEW: Self;
    /// The same, for those that only look.
    const BLANK: &'static Self;
}

/// A part that is as at the start until somebody changes it.
#[derive(Clone)]
pub(crate) struct Lazy<T>(Option<Box<T>>);

impl<T> Lazy<T> {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// The part, if anybody has changed it.
    pub(crate) fn used(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T: Blank> Deref for Lazy<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::BLANK)
    }
}

impl<T: Blank> DerefMut for Lazy<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_with(|| Box::new(T::NEW))
    }
}

impl<T: Blank + fmt::Debug> fmt::Debug for Lazy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The congestion controller, that is made when it is first needed.
pub(crate) struct Controller {
    make: fn() -> Box<dyn Congestion>,
    made: OnceCell<Box<dyn Congestion>>,
}

impl Controller {
    pub(crate) const fn new(make: fn() -> Box<dyn Congestion>) -> Self {
        Self { make, made: OnceCell::new() }
    }

    /// What the controller says, of which none is kept if there was none.
    pub(crate) fn glance<T>(&self, look: impl FnOnce(&dyn Congestion) -> T) -> T {
        match self.made.get() {
            Some(made) => look(&**made),
            None => look(&*(self.make)()),
        }
    }
}

impl Deref for Controller {
    type Target = dyn Congestion;

    fn deref(&self) -> &Self::Target {
        &**self.made.get_or_init(self.make)
    }
}

impl DerefMut for Controller {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.made.get_or_init(self.make);
        &mut **self.made.get_mut().expect("it was made just now")
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.made.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion;

    struct Part {
        number: u32,
    }
    impl Blank for Part {
        const NEW: Self = Self { number: 7 };
        const BLANK: &'static Self = &Self::NEW;
    }

    #[test]
    fn a_part_takes_memory_when_it_is_changed_and_not_when_it_is_looked_at() {
        let mut part: Lazy<Part> = Lazy::new();
        assert_eq!((part.number, part.0.is_none()), (7, true));
        part.number += 1;
        assert_eq!((part.number, part.0.is_some()), (8, true));
    }

    #[test]
    fn a_controller_is_kept_when_it_is_used_and_not_when_it_is_glanced_at() {
        let mut controller = Controller::new(congestion::rfc7016);
        let window = controller.glance(|made| made.window());
        assert!(controller.made.get().is_none());
        controller.on_timeout(rtmfp_base::Time::ZERO, true);
        assert!(controller.window() < window && controller.glance(|made| made.window()) < window);
    }
}

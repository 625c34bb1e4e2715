use core::net::IpAddr;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts and numbers the clients of a relay, of all its workers together if there are several.
#[derive(Clone, Debug, Default)]
pub(super) struct Admission(Arc<Mutex<Admitted>>);

#[derive(Debug, Default)]
struct Admitted {
    clients: usize,
    /// The number of the one that came last.
    last: u32,
    by_address: HashMap<IpAddr, usize>,
}

impl Admission {
    /// Lets one in and gives it a number, unless there are as many as may be, in all or from there.
    pub(super) fn enter(&self, ip: IpAddr, most: usize, most_from_there: usize) -> Option<u32> {
        let mut admitted = self.lock();
        let from_there = admitted.by_address.get(&ip).copied().unwrap_or(0);
        if admitted.clients >= most || from_there >= most_from_there {
            return None;
        }
        admitted.clients += 1;
        admitted.by_address.insert(ip, from_there + 1);
        Some(admitted.number())
    }

    /// How many there are.
    pub(super) fn clients(&self) -> usize {
        self.lock().clients
    }

    /// Another number for one that was let in.
    pub(super) fn renumber(&self) -> u32 {
        self.lock().number()
    }

    /// One that was let in has gone.
    pub(super) fn leave(&self, ip: IpAddr) {
        let mut admitted = self.lock();
        admitted.clients = admitted.clients.saturating_sub(1);
        if let Some(count) = admitted.by_address.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                admitted.by_address.remove(&ip);
            }
        }
    }

    /// The counts hold even if a worker has panicked: it did not while it had them.
    fn lock(&self) -> MutexGuard<'_, Admitted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    /// The next number. After two thousand million they begin anew.
    fn number(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1) & (u32::MAX >> 1);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_share_an_admission_share_its_limits() {
        let one = Admission::default();
        let other = one.clone();
        let [a, b, c] = [1, 2, 3].map(|host| IpAddr::from([192, 0, 2, host]));
        assert_eq!([&one, &other].map(|each| each.enter(a, 3, 2)), [Some(1), Some(2)]);
        assert_eq!(one.enter(a, 3, 2), None, "two from there");
        assert_eq!(one.enter(b, 3, 2), Some(3));
        assert_eq!(other.enter(c, 3, 2), None, "three in all");
        other.leave(a);
        assert_eq!(one.enter(c, 3, 2), Some(4));
        [a, b, c].into_iter().for_each(|ip| one.leave(ip));
        assert!(one.lock().by_address.is_empty() && one.lock().clients == 0);
    }
    #[test]
    fn numbers_begin_anew_before_they_could_be_taken_for_negative_ones() {
        let admission = Admission::default();
        admission.lock().last = i32::MAX as u32 - 1;
        assert_eq!(
            [admission.renumber(), admission.renumber(), admission.renumber()],
            [i32::MAX as u32, 0, 1]
        );
    }
}

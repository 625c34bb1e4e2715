//! Groups of pictures on their way over a flow: when one picture is lost, so are those that need it.

use std::collections::VecDeque;

use rtmfp_base::ReceiptId;

use crate::policy::{Deadlines, Picture};

/// The pictures of a stream, by track.
#[derive(Debug, Default)]
pub(super) struct Pictures(Vec<Track>);

#[derive(Debug)]
struct Track {
    id: u8,
    current: Group,
    previous: Group,
}

/// A key frame and what needs it.
#[derive(Debug, Default)]
struct Group {
    lost: bool,
    waiting: VecDeque<(ReceiptId, Deadlines)>,
}

impl Pictures {
    /// Notes that a picture is to be sent; answers what is left of the group before, if this one begins a group.
    pub(super) fn begin(&mut self, picture: Picture) -> impl Iterator<Item = (ReceiptId, Deadlines)> + '_ {
        let index = self.0.iter().position(|track| track.id == picture.track).unwrap_or_else(|| {
            let (current, previous) = Default::default();
            self.0.push(Track { id: picture.track, current, previous });
            self.0.len() - 1
        });
        let track = &mut self.0[index];
        if picture.begins_group {
            track.previous = core::mem::take(&mut track.current);
        }
        let left = if picture.begins_group { track.previous.waiting.len() } else { 0 };
        track.previous.waiting.iter().take(left).copied()
    }

    /// Whether a picture needs one that was lost.
    pub(super) fn is_orphan(&self, picture: Picture) -> bool {
        self.0.iter().any(|track| track.id == picture.track && track.current.lost)
    }

    /// A picture was given to its flow.
    pub(super) fn sent(&mut self, picture: Picture, receipt: ReceiptId, deadlines: Deadlines) {
        if let Some(track) = self.0.iter_mut().find(|track| track.id == picture.track) {
            track.current.waiting.push_back((receipt, deadlines));
        }
    }

    /// A picture was not given to its flow.
    pub(super) fn skipped(&mut self, picture: Picture) {
        if let Some(track) = self.0.iter_mut().find(|track| track.id == picture.track) {
            track.current.lost = true;
        }
    }

    /// A picture was delivered, or abandoned; answers those that are of no use any more.
    pub(super) fn ended(&mut self, receipt: ReceiptId, delivered: bool) -> VecDeque<(ReceiptId, Deadlines)> {
        let groups = self.0.iter_mut().flat_map(|track| [&mut track.previous, &mut track.current]);
        for group in groups {
            let Some(index) = group.waiting.iter().position(|(waiting, _)| *waiting == receipt) else {
                continue;
            };
            if delivered {
                group.waiting.remove(index);
                return VecDeque::new();
            }
            group.lost = true;
            let mut rest = group.waiting.split_off(index);
            rest.pop_front();
            return rest;
        }
        VecDeque::new()
    }
}

#[cfg(test)]
mod tests {
    use rtmfp_base::{Id, Time};

    use super::*;

    fn picture(track: u8, begins_group: bool) -> Picture {
        Picture { track, begins_group }
    }

    fn send(pictures: &mut Pictures, picture: Picture, number: u32) -> Vec<u32> {
        let left = pictures.begin(picture).map(|(receipt, _)| receipt.index()).collect();
        pictures.sent(
            picture,
            Id::from_parts(number, 0),
            Deadlines { start_by: Time::ZERO, finish_by: Time::ZERO },
        );
        left
    }

    fn lose(pictures: &mut Pictures, number: u32) -> Vec<u32> {
        let lost = pictures.ended(Id::from_parts(number, 0), false);
        lost.into_iter().map(|(receipt, _)| receipt.index()).collect()
    }

    #[test]
    fn the_loss_of_a_picture_takes_those_behind_it_until_the_next_key_frame() {
        let mut pictures = Pictures::default();
        for (number, key) in [(1, true), (2, false), (3, false), (4, false)] {
            assert_eq!(send(&mut pictures, picture(0, key), number), []);
        }
        assert!(pictures.ended(Id::from_parts(1, 0), true).is_empty());
        assert_eq!(lose(&mut pictures, 3), [4]);
        assert!(pictures.is_orphan(picture(0, false)));
        // The one before it is still on its way, and is to be hastened.
        assert_eq!(send(&mut pictures, picture(0, true), 5), [2]);
        assert!(!pictures.is_orphan(picture(0, false)));
        assert_eq!(lose(&mut pictures, 2), []);
        assert!(!pictures.is_orphan(picture(0, false)));
    }

    #[test]
    fn tracks_do_not_take_each_other_along() {
        let mut pictures = Pictures::default();
        send(&mut pictures, picture(0, true), 1);
        send(&mut pictures, picture(1, true), 2);
        assert_eq!(send(&mut pictures, picture(1, true), 3), [2]);
        assert_eq!(lose(&mut pictures, 1), []);
        assert!(pictures.is_orphan(picture(0, false)) && !pictures.is_orphan(picture(1, false)));
    }
}

//! RTMP in its plainest form.

use crate::clip::Clip;
use crate::encoder::{End, TAIL, Task};
use crate::world::Chain;

/// A Set Chunk Size message of 65,536 on chunk stream 2, in full.
const CHUNK_SIZE: &[u8] = b"\x02\0\0\0\0\0\x04\x01\0\0\0\0\0\x01\0\0";

#[test]
fn a_clip_goes_through_in_large_chunks_and_all_of_it_arrives() {
    for (protocols, simple) in
        [(&["rtmp-simple", "rtmp-simple"][..], true), (&["rtmp-simple", "rtmfp", "rtmp"], false)]
    {
        let mut chain = Chain::new(1, protocols, Chain::friendly());
        let clip = Clip::new(90);
        chain.add_client(Task::Publish(clip.clone(), End::Delete));
        chain.network.run_for(TAIL);
        let session = chain.server().all().next().expect("a session");
        let media = session.messages().into_iter().filter(|message| matches!(message.kind, 8 | 9)).count();
        assert_eq!(media, clip.0.iter().filter(|message| matches!(message.kind, 8 | 9)).count());
        let large = session.raw.windows(CHUNK_SIZE.len()).any(|window| window == CHUNK_SIZE);
        assert_eq!(large, simple, "{protocols:?}");
    }
}

//! The one place in the libraries that reads a clock.

use std::sync::LazyLock;
use std::time::Instant;

use rtmfp_base::Time;

static ORIGIN: LazyLock<Instant> = LazyLock::new(instant);

/// The time since the process first asked for it. Monotonic, and the same for all threads.
pub fn now() -> Time {
    let origin = *ORIGIN;
    Time::ZERO + instant().saturating_duration_since(origin)
}

#[expect(clippy::disallowed_methods, reason = "the clock that all others get their time from")]
fn instant() -> Instant {
    Instant::now()
}

//! Randomness for what makes keys.

use rand::TryRng;
use rand::rngs::SysRng;

/// Hands the system's randomness to `call`.
///
/// # Errors
/// When the system had none to give.
pub(crate) fn with_randomness<T>(call: impl FnOnce(&mut dyn FnMut(&mut [u8])) -> T) -> Result<T, String> {
    let mut failed = None;
    let result = call(&mut |bytes| {
        if let Err(error) = SysRng.try_fill_bytes(bytes) {
            failed = Some(error);
        }
    });
    match failed {
        None => Ok(result),
        Some(error) => Err(format!("no randomness from the system: {error}")),
    }
}

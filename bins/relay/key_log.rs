//! The file with the keys of sessions.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use rtmfp_flash::KeyLog;

/// Opens the file, which nobody but its owner may read from then on, and warns about it.
pub(crate) fn open(path: &Path) -> Result<KeyLog, String> {
    let name = path.display();
    let error = |error| format!("cannot write the key log {name}: {error}");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(error)?;
    let mut permissions = file.metadata().map_err(error)?.permissions();
    permissions.set_mode(0o600);
    file.set_permissions(permissions).map_err(error)?;
    log::warn!("the keys of all sessions are written to {name}: whoever reads it can read the streams");
    Ok(Arc::new(move |line| {
        // One write for a line, so that lines of several programs do not mix.
        if let Err(error) = (&file).write_all(format!("{line}\n").as_bytes()) {
            log::warn!("the key log cannot be written: {error}");
        }
    }))
}

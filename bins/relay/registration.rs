//! Which redirectors the relay registers with, and as whom.

use std::fs;
use std::path::Path;

use rtmfp_cli::{RegistrationOptions, User, parse_users};
use rtmfp_redirect::{Secret, Users};
use rtmfp_service::{Advertise, RegistrationConfig};
use zeroize::Zeroizing;

/// The settings that the command line asks for.
///
/// # Errors
/// When the file with names and passwords cannot be read.
pub(crate) fn config(
    options: RegistrationOptions,
    advertise: Vec<Advertise>,
) -> Result<RegistrationConfig, String> {
    let mut users = Users::new();
    let mut add = |user: User| users.insert(user.name, Secret::new(user.password.as_bytes()));
    options.redirector_users.into_iter().filter_map(|user| user.0.ok()).for_each(&mut add);
    if let Some(file) = &options.redirector_user_file {
        read(file)?.into_iter().for_each(add);
    }
    let redirectors = options.redirectors.into_iter().map(|at| (at.name, at.addresses)).collect();
    Ok(RegistrationConfig { redirectors, users, advertise, hide_reflexive: options.no_advertise_reflexive })
}

fn read(file: &Path) -> Result<Vec<User>, String> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("--redirector-user-file {name}: {error}"))?;
    parse_users(&Zeroizing::new(text)).map_err(|error| format!("--redirector-user-file {name}: {error}"))
}

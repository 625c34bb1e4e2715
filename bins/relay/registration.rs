//! Which redirectors the relay registers with, and as whom.

use rtmfp_cli::RegistrationOptions;
use rtmfp_service::{Advertise, RegistrationConfig};

use crate::users::UserList;

/// The settings that the command line asks for, and where the names and passwords come from.
///
/// # Errors
/// When the file with names and passwords cannot be read.
pub(crate) fn config(
    options: RegistrationOptions,
    advertise: Vec<Advertise>,
) -> Result<(RegistrationConfig, UserList), String> {
    let users =
        UserList::new(options.redirector_users, options.redirector_user_file, "--redirector-user-file");
    let redirectors = options.redirectors.into_iter().map(|at| (at.name, at.addresses)).collect();
    let config = RegistrationConfig {
        redirectors,
        credentials: users.read()?.into(),
        advertise,
        hide_reflexive: options.no_advertise_reflexive,
    };
    Ok((config, users))
}

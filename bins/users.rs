//! Names and passwords from the command line, and from a file that may be read again.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use rtmfp_cli::{User, UserArgument, parse_users};
use rtmfp_redirect::{Secret, Users};
use zeroize::Zeroizing;

use crate::program::say;

/// Where the users come from.
pub(crate) struct UserList {
    /// Those that the command line names itself.
    given: Vec<User>,
    file: Option<PathBuf>,
    /// The option that names the file.
    option: &'static str,
}

impl UserList {
    /// The users that the command line names, and those of a file that `option` names.
    pub(crate) fn new(given: Vec<UserArgument>, file: Option<PathBuf>, option: &'static str) -> Self {
        Self { given: given.into_iter().filter_map(|user| user.0.ok()).collect(), file, option }
    }

    /// All users. Those of the file go before those of the command line.
    ///
    /// # Errors
    /// When the file cannot be read, or is not as it should be.
    pub(crate) fn read(&self) -> Result<Users, String> {
        let mut users = Users::new();
        let mut add = |user: &User| users.insert(user.name.as_bytes(), Secret::new(user.password.as_bytes()));
        self.given.iter().for_each(&mut add);
        if let Some(file) = &self.file {
            self.read_file(file)?.iter().for_each(add);
        }
        Ok(users)
    }

    /// Has somebody take the users with those of the file as it is now. A file that cannot be taken changes nothing.
    pub(crate) fn read_again(&self, take: impl FnOnce(Users)) {
        let Some(file) = &self.file else {
            log::warn!("there is no {} to read again", self.option);
            return;
        };
        match self.read() {
            Ok(users) => {
                let count = users.len();
                take(users);
                say(format_args!("users read again from {}: {count}", file.display()));
            }
            Err(error) => say(format_args!("the users stay as they were: {error}")),
        }
    }

    fn read_file(&self, file: &Path) -> Result<Vec<User>, String> {
        let error = |error: &dyn Display| format!("{} {}: {error}", self.option, file.display());
        let text = Zeroizing::new(fs::read_to_string(file).map_err(|e| error(&e))?);
        parse_users(&text).map_err(|e| error(&e))
    }
}

//! Who may register: from the command line, and from a file that may be read again.

use std::fs;
use std::path::{Path, PathBuf};

use rtmfp_base::Time;
use rtmfp_cli::{Access, User, parse_users};
use rtmfp_redirect::{Secret, Users};
use rtmfp_service::Redirector;
use zeroize::Zeroizing;

/// Where the users come from.
pub(crate) struct UserList {
    /// Those that the command line names itself.
    given: Vec<User>,
    file: Option<PathBuf>,
}

impl UserList {
    pub(crate) fn new(access: &Access) -> Self {
        let given = access.users.iter().filter_map(|user| user.0.clone().ok()).collect();
        Self { given, file: access.users_file.clone() }
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
            read_file(file)?.iter().for_each(add);
        }
        Ok(users)
    }

    /// Has a redirector take the users of the file as it is now. One that cannot be taken changes nothing.
    pub(crate) fn read_again(&self, now: Time, redirector: &mut Redirector) {
        let Some(file) = &self.file else {
            log::warn!("there is no --users-file to read again");
            return;
        };
        match self.read() {
            Ok(users) => {
                let count = users.len();
                redirector.set_users(now, users);
                eprintln!("users read again from {}: {count}", file.display());
            }
            Err(error) => eprintln!("the users stay as they were: {error}"),
        }
    }
}

fn read_file(file: &Path) -> Result<Vec<User>, String> {
    let name = file.display();
    let error = |error: &dyn std::fmt::Display| format!("--users-file {name}: {error}");
    let text = Zeroizing::new(fs::read_to_string(file).map_err(|e| error(&e))?);
    parse_users(&text).map_err(|e| error(&e))
}

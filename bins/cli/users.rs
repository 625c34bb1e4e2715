//! Names and passwords, on command lines and in files.

use core::convert::Infallible;
use core::fmt;
use core::str::FromStr;

use zeroize::Zeroizing;

/// A user and the password, which is wiped when it is dropped and never shown.
#[derive(Clone, Eq, PartialEq)]
pub struct User {
    /// The name, not empty and without a colon.
    pub name: String,
    /// The password, not empty.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FromStr for User {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        match text.split_once(':') {
            Some(("", _)) => Err(UserError::NoName),
            Some((_, "")) => Err(UserError::NoPassword),
            Some((name, password)) => {
                Ok(Self { name: name.to_owned(), password: Zeroizing::new(password.to_owned()) })
            }
            None => Err(UserError::NoColon),
        }
    }
}

/// Why something is no user. It does not say what was given.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// No colon.
    #[error("it is no NAME:PASSWORD")]
    NoColon,
    /// Nothing before the colon.
    #[error("there is no name before the colon")]
    NoName,
    /// Nothing behind it.
    #[error("there is no password behind the colon")]
    NoPassword,
}

/// What an option for a user was given. The parser of command lines never refuses it, for it would show the password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserArgument(pub Result<User, UserError>);

impl FromStr for UserArgument {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.parse()))
    }
}

/// The users in a text, one in each line, at least one.
///
/// # Errors
/// What is wrong and in which line, but not what stands there.
pub fn parse_users(text: &str) -> Result<Vec<User>, String> {
    let mut users: Vec<User> = Vec::new();
    for (number, line) in
        (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        let user: User = line.parse().map_err(|error| format!("line {number}: {error}"))?;
        if users.iter().any(|other| other.name == user.name) {
            return Err(format!("line {number}: user {} is there twice", user.name));
        }
        users.push(user);
    }
    // Nobody would mean everybody.
    if users.is_empty() { Err("there is no user in it".to_owned()) } else { Ok(users) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_users_has_at_least_one_and_each_once() {
        let users = parse_users("# ours\n\nme:secret\nyou: with:all \r\n").unwrap();
        let users: Vec<_> = users.iter().map(|user| (user.name.as_str(), user.password.as_str())).collect();
        assert_eq!(users, [("me", "secret"), ("you", " with:all ")]);
        for (text, error) in [
            ("", "no user"),
            ("# a:b\n", "no user"),
            ("a:b\nsecret\n", "line 2: it is no NAME:PASSWORD"),
            ("\na:\n", "line 2: there is no password"),
            (":secret", "line 1: there is no name"),
            ("a:b\na:secret", "line 2: user a is there twice"),
        ] {
            let said = parse_users(text).unwrap_err();
            assert!(said.contains(error) && !said.contains("secret"), "{text:?}: {said}");
        }
    }

    #[test]
    fn passwords_may_have_colons_and_are_never_shown() {
        let user: User = "me:pass:word".parse().unwrap();
        assert_eq!((user.name.as_str(), user.password.as_str()), ("me", "pass:word"));
        assert!(!format!("{user:?}").contains("pass"));
        let argument: UserArgument = "secret".parse().unwrap();
        assert_eq!(argument.0, Err(UserError::NoColon));
    }
}

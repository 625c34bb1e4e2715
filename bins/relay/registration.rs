//! Which redirectors the relay registers with, and as whom.

use std::fs;
use std::path::Path;

use rtmfp_cli::{Credentials, RegistrationOptions};
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
    let mut add = |credentials: Credentials| {
        users.insert(credentials.name, Secret::new(credentials.password.as_bytes()));
    };
    for text in &options.redirector_users {
        let Ok(credentials) = text.0.parse() else {
            crate::usage("--redirector-user: it is no NAME:PASSWORD")
        };
        add(credentials);
    }
    if let Some(file) = &options.redirector_user_file {
        read(file)?.into_iter().for_each(add);
    }
    let redirectors = options.redirectors.into_iter().map(|at| (at.name, at.addresses)).collect();
    Ok(RegistrationConfig { redirectors, users, advertise, hide_reflexive: options.no_advertise_reflexive })
}

fn read(file: &Path) -> Result<Vec<Credentials>, String> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("--redirector-user-file {name}: {error}"))?;
    parse(&Zeroizing::new(text))
        .map_err(|line| format!("--redirector-user-file {name}: line {line} is no NAME:PASSWORD"))
}

/// The credentials in a text, or the number of the line that has none. What the line says stays secret.
fn parse(text: &str) -> Result<Vec<Credentials>, usize> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(line, number)| line.parse().map_err(|_| number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_a_name_and_a_password_in_each_line() {
        let parsed = parse("# ours\n\nme:secret\nyou: with:all \r\n").unwrap();
        let names: Vec<_> = parsed.iter().map(|one| (one.name.as_str(), one.password.as_str())).collect();
        assert_eq!(names, [("me", "secret"), ("you", " with:all ")]);
        assert_eq!(parse("me:secret\n\nnobody\n").unwrap_err(), 3);
    }
}

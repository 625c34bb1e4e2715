//! The addresses of streams: `rtmp://[argument[:argument ...]@]host[:port]/app[?query]#stream[?query]`, and the plain
//! form without `#` in which the stream is the last segment of the path.

#[cfg(test)]
mod tests;

use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

/// An address, taken apart. Parse one with [`str::parse`].
#[derive(Clone, Eq, PartialEq)]
pub struct StreamUri {
    /// The scheme in lower case, such as `rtmp`, `rtmps` or `rtmfp`.
    pub scheme: String,
    /// The user information, divided at colons and percent-decoded: arguments of `connect`.
    pub arguments: Vec<String>,
    /// The host's name or address, IPv6 without brackets. Empty if the address has none, as in `rtmfp:`.
    pub host: String,
    /// The port if it is written, see [`StreamUri::effective_port`].
    pub port: Option<u16>,
    /// The path without its first slash, and the query: the application. As written.
    pub app: String,
    /// The name of the stream, which may have a query. As written; empty if there is none.
    pub stream: String,
}

impl StreamUri {
    /// The port: the written one or the scheme's. None if the scheme is not known.
    pub fn effective_port(&self) -> Option<u16> {
        self.port.or(match &*self.scheme {
            "rtmp" | "rtmp-simple" | "rtmfp" => Some(1935),
            "rtmps" | "wss" | "https" => Some(443),
            "ws" | "http" => Some(80),
            _ => None,
        })
    }

    /// What `connect` says as tcUrl: everything but the arguments and the stream. The server need not know that
    /// `rtmp-simple`, which is only about how RTMP is sent, was chosen: that becomes `rtmp`.
    pub fn tc_url(&self) -> String {
        let Self { scheme, host, app, .. } = self;
        let scheme = if scheme == "rtmp-simple" { "rtmp" } else { scheme };
        if host.is_empty() {
            return format!("{scheme}:{app}");
        }
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{open}{host}{close}{port}/{app}")
    }
}

/// Without arguments, application and stream, which may be secrets.
impl fmt::Debug for StreamUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamUri")
            .field("scheme", &self.scheme)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl FromStr for StreamUri {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        if uri.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(UriError::Character);
        }
        let (scheme, rest) = uri.split_once(':').ok_or(UriError::Scheme)?;
        let in_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(in_scheme) {
            return Err(UriError::Scheme);
        }
        let (arguments, host, port, resource) = match rest.strip_prefix("//") {
            Some(rest) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (authority, resource) = rest.split_at(end);
                let (arguments, host_port) = match authority.split_once('@') {
                    Some((arguments, host_port)) => (decode_arguments(arguments)?, host_port),
                    None => (Vec::new(), authority),
                };
                let (host, port) = split_host(host_port)?;
                (arguments, host, port, resource)
            }
            None => (Vec::new(), "", None, rest),
        };
        let (app, stream) = split_resource(resource);
        Ok(Self { scheme: scheme.to_ascii_lowercase(), arguments, host: host.to_owned(), port, app, stream })
    }
}

fn split_host(host_port: &str) -> Result<(&str, Option<u16>), UriError> {
    let (host, port) = match host_port.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(UriError::Host)?;
            let _: Ipv6Addr = address.parse().map_err(|_| UriError::Host)?;
            (address, port)
        }
        None => {
            let end = host_port.find(':').unwrap_or(host_port.len());
            let (host, port) = host_port.split_at(end);
            if host.is_empty() || host.contains(['@', '[', ']']) {
                return Err(UriError::Host);
            }
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        // `u16::from_str` alone would take a sign.
        Some(digits) if digits.bytes().all(|c| c.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| UriError::Port)?)
        }
        _ => return Err(UriError::Port),
    };
    Ok((host, port))
}

/// Divides path, query and fragment into application and stream.
fn split_resource(resource: &str) -> (String, String) {
    let resource_only = |resource: &str| resource.strip_prefix('/').unwrap_or(resource).to_owned();
    if let Some((resource, fragment)) = resource.split_once('#') {
        return (resource_only(resource), fragment.to_owned());
    }
    let resource = resource_only(resource);
    let path_end = resource.find('?').unwrap_or(resource.len());
    let (path, query) = resource.split_at(path_end);
    // The last slash of the path; in `app?query/stream`, which encoders are given too, that of the query.
    if let Some((app, stream)) = path.rsplit_once('/') {
        return if stream.is_empty() {
            (format!("{app}{query}"), String::new())
        } else {
            (app.to_owned(), format!("{stream}{query}"))
        };
    }
    match query.rsplit_once('/') {
        Some((query, stream)) => (format!("{path}{query}"), stream.to_owned()),
        None => (resource, String::new()),
    }
}

fn decode_arguments(user_info: &str) -> Result<Vec<String>, UriError> {
    user_info.split(':').map(|argument| percent_decode(argument).ok_or(UriError::UserInfo)).collect()
}

/// None for what is no escape, and for escapes that make no text.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            (digit()? << 4 | digit()?) as u8
        } else {
            byte
        });
    }
    if decoded.contains(&0) {
        return None;
    }
    String::from_utf8(decoded).ok()
}

/// Why something is no address of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// A control character, space or backslash.
    #[error("the URI holds a character that must be percent-encoded")]
    Character,
    /// No scheme, or one with characters that schemes cannot have.
    #[error("the URI has no scheme")]
    Scheme,
    /// A percent sign in the user information that is no escape, or escapes that are not UTF-8 or NUL.
    #[error("the user information of the URI is badly escaped")]
    UserInfo,
    /// The host is missing, or is no name and no address.
    #[error("the URI has no usable host")]
    Host,
    /// The port is no number up to 65,535.
    #[error("the port of the URI is no port")]
    Port,
}

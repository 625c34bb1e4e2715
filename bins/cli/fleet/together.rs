//! Which options of a relay do not go together, where there is more to say than the parser knows.

use core::net::{IpAddr, SocketAddr};

use rtmfp_service::relay::leads_back;

use super::{AdvertiseAddress, PortRange};
use crate::{ListenUrl, Relay, Scheme};

#[cfg(test)]
#[path = "together/tests.rs"]
mod tests;

impl Relay {
    /// What is wrong with options that do not go together.
    ///
    /// # Errors
    /// What to tell people.
    pub fn check(&self) -> Result<(), String> {
        self.check_listen()?;
        self.check_destination()?;
        self.check_groups()?;
        self.check_workers()?;
        self.check_advertise()?;
        self.check_redirectors()
    }

    fn rtmfp(&self) -> impl Iterator<Item = &ListenUrl> {
        self.listen.iter().filter(|url| url.scheme == Scheme::Rtmfp)
    }

    fn check_listen(&self) -> Result<(), String> {
        let transport = |url: &ListenUrl| (url.scheme == Scheme::Rtmfp, url.address);
        for (number, url) in self.listen.iter().enumerate().filter(|(_, url)| url.address.port() != 0) {
            if self.listen.iter().take(number).any(|other| transport(other) == transport(url)) {
                return Err(format!("--listen {url}: that address is there twice"));
            }
        }
        Ok(())
    }

    /// Whether the destination is the relay itself. Of names that shows later, when they are looked up.
    fn check_destination(&self) -> Result<(), String> {
        let Ok(ip) = self.to.host.parse::<IpAddr>() else { return Ok(()) };
        let to = SocketAddr::new(ip, self.to.port);
        let is_there = |url: &&ListenUrl| {
            let is_same_transport = (url.scheme == Scheme::Rtmfp) == (self.to.scheme == Scheme::Rtmfp);
            is_same_transport && leads_back(url.address, to) == Some(true)
        };
        self.listen.iter().find(is_there).map_or(Ok(()), |url| {
            Err(format!(
                "--to {}: that is this relay's own --listen {url}, and no client would ever arrive; the destination is \
                 the media server, or the relay beside it",
                self.to
            ))
        })
    }

    fn check_groups(&self) -> Result<(), String> {
        match self.security.max_dh_group {
            Some(most) if self.security.outgoing_groups().is_empty() => {
                Err(format!("--max-dh-group {0}: none of --dh-groups is group {0} or weaker", most.0))
            }
            _ => Ok(()),
        }
    }

    fn check_workers(&self) -> Result<(), String> {
        let count = self.workers.workers.get();
        if count < 2 {
            return Ok(());
        }
        if let Some(PortRange { first, last }) = self.workers.worker_ports {
            let needed = count * self.rtmfp().count();
            if usize::from(last - first) + 1 < needed {
                return Err(format!("--worker-ports {first}-{last}: {count} workers need {needed} ports"));
            }
            if let Some(url) = self.rtmfp().find(|url| (first..=last).contains(&url.address.port())) {
                return Err(format!(
                    "--worker-ports {first}-{last}: one of them is the port of --listen {url}, and workers need ports of \
                     their own"
                ));
            }
        }
        for &AdvertiseAddress { ip, port } in &self.fleet.advertise {
            if let Some(port) = port
                && usize::from(port) + count - 1 > u16::MAX.into()
            {
                let address = SocketAddr::new(ip, port);
                return Err(format!(
                    "--advertise {address}: {count} workers need {count} ports from there on, and the last one is 65535"
                ));
            }
        }
        Ok(())
    }

    fn check_advertise(&self) -> Result<(), String> {
        for &AdvertiseAddress { ip, port } in &self.fleet.advertise {
            let count = self.rtmfp().filter(|url| url.address.is_ipv4() == ip.is_ipv4()).count();
            if let Some(port) = port
                && count > 1
            {
                let address = SocketAddr::new(ip, port);
                return Err(format!(
                    "--advertise {address}: there are {count} RTMFP listeners of that family, say the IP only"
                ));
            }
        }
        Ok(())
    }

    fn check_redirectors(&self) -> Result<(), String> {
        let options = &self.registration;
        if let Some(error) = options.redirector_users.iter().find_map(|user| user.0.as_ref().err()) {
            return Err(format!("--redirector-user: {error}"));
        }
        if options.redirectors.is_empty() {
            let alone = [
                ("--redirector-user", !options.redirector_users.is_empty()),
                ("--redirector-user-file", options.redirector_user_file.is_some()),
                ("--no-advertise-reflexive", options.no_advertise_reflexive),
            ];
            let alone = alone.into_iter().find(|(_, is_there)| *is_there);
            return alone.map_or(Ok(()), |(option, _)| {
                Err(format!("{option} is for --redirector, which is missing"))
            });
        }
        if self.rtmfp().next().is_none() {
            return Err("--redirector is for RTMFP clients, and no --listen is rtmfp://".to_owned());
        }
        for (number, redirector) in options.redirectors.iter().enumerate() {
            let name = &redirector.name;
            let is_reachable =
                |address: &SocketAddr| self.rtmfp().any(|url| url.address.is_ipv4() == address.is_ipv4());
            if !redirector.addresses.iter().any(is_reachable) {
                let (family, listen) = if redirector.addresses.iter().any(SocketAddr::is_ipv4) {
                    ("IPv4", "0.0.0.0")
                } else {
                    ("IPv6", "[::]")
                };
                return Err(format!(
                    "--redirector {name}: it has addresses of {family} only, and no --listen is one: rtmfp://{listen} would be"
                ));
            }
            for address in &redirector.addresses {
                let is_same =
                    |other: &&super::RedirectorAt| other.name == *name && other.addresses.contains(address);
                if options.redirectors.iter().take(number).any(|other| is_same(&other)) {
                    return Err(format!("--redirector {name}@{address} is there twice"));
                }
            }
        }
        Ok(())
    }
}

//! A client of the installed base that another one looks for through an introducer.

use rtmfp_netsim::Network;

use super::{LONGEST, REDIRECTOR, Scene, others};
use crate::strict::client::{Offer, StrictClient, Task};
use crate::world::at;

impl Scene {
    pub(super) fn introduction(&mut self) {
        let redirects = self.dice.chance(0.5);
        self.did(if redirects { "legacy_introduction" } else { "legacy_forwarded_hello" });
        let introducer = others::introducer(self.fresh_dice(), at(REDIRECTOR), redirects);
        self.add(REDIRECTOR, Box::new(introducer));
        let offer = if self.dice.chance(0.5) { Offer::Librtmfp } else { Offer::Flash };
        let client = StrictClient::new(self.fresh_dice(), offer, at(REDIRECTOR), Task::BeFound);
        let epd = client.found.as_ref().expect("it is to be found").epd();
        let client = self.add_client(Box::new(client));
        self.network.run_while(LONGEST, |network| network.peek::<StrictClient>(client).handshakes == 0);
        let seeker = others::seeker(self.fresh_dice(), self.network.now(), epd, at(REDIRECTOR));
        self.add_client(Box::new(seeker));
        let found = |network: &Network| {
            let found = network.peek::<StrictClient>(client).found.as_ref().expect("it is to be found");
            (found.forwarded, found.messages.len())
        };
        self.network.run_while(LONGEST, |network| found(network).1 == 0);
        assert_eq!(self.network.peek::<StrictClient>(client).over, None, "a client that waits to be found");
        let (forwarded, messages) = found(&self.network);
        assert!(forwarded > 0 || redirects, "L6: no hello is sent on to a client that another looks for");
        assert_eq!(messages, 1, "L6, L9: {forwarded} hellos were sent on, but nobody comes");
    }
}

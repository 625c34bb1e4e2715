use std::any::Any;
use std::fmt;

use rtmfp_base::{Service, Time};

use super::Report;

pub(super) type ServiceCall = Box<dyn FnMut(i32, &mut dyn Service, Time, &Report) + Send>;

/// Signals that a program handles itself with the help of its service: SIGUSR1 to have it tell how things stand, SIGHUP to
/// hand it settings that were read anew, for example.
pub struct ServiceHook {
    pub(super) signals: Vec<i32>,
    pub(super) call: ServiceCall,
}

impl ServiceHook {
    /// Has `call` called on the loop with the number of each of these signals that arrives, the service, the time, and how
    /// things are going. The service is polled afterwards. One that is no `S` does not hear of the signals.
    ///
    /// Nothing else happens while `call` is under way: what it reads from files should be small.
    pub fn new<S: Service>(
        signals: &[i32],
        mut call: impl FnMut(i32, &mut S, Time, &Report) + Send + 'static,
    ) -> Self {
        let call: ServiceCall = Box::new(move |signal, service, now, report| {
            let service: &mut dyn Any = service;
            match service.downcast_mut::<S>() {
                Some(service) => call(signal, service, now, report),
                None => log::error!("signal {signal} is for another service than the one that runs"),
            }
        });
        Self { signals: signals.to_vec(), call }
    }
}

impl fmt::Debug for ServiceHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceHook").field("signals", &self.signals).finish_non_exhaustive()
    }
}

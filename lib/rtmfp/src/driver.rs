//! Joins an [`Endpoint`] to a host: [`Node`] is one endpoint as a [`Service`], for tests and examples; services
//! with endpoints of their own use [`Driver`].

use core::any::Any;
use std::collections::VecDeque;

use rtmfp_base::{
    Action, Batch, Input, InterfaceId, JobDone, JobId, RecvMeta, Service, StreamId, Time, UdpOptions,
};

use crate::{Disposition, Endpoint};

/// Carries an endpoint's jobs out under job numbers of the host's.
///
/// A service may have many endpoints, and each numbers its jobs from 0: the driver gives them numbers that say whose
/// they are.
#[derive(Debug)]
pub struct Driver {
    /// The endpoint.
    pub endpoint: Endpoint,
    owner: u32,
}

impl Driver {
    /// Drives an endpoint that its service knows by a number.
    pub fn new(endpoint: Endpoint, owner: u32) -> Self {
        Self { endpoint, owner }
    }

    /// The number of the driver that a job belongs to.
    pub fn owner_of(job: JobId) -> u32 {
        (job.0 >> 32) as u32
    }

    /// Takes a job that has run for this driver.
    pub fn job_done(&mut self, now: Time, done: JobDone) {
        let id = JobId(done.id.0 & 0xffff_ffff);
        self.endpoint.complete_job(now, JobDone { id, result: done.result });
    }

    /// The next job as an action.
    pub fn poll_job(&mut self) -> Option<Action> {
        let job = self.endpoint.poll_job()?;
        let id = JobId(u64::from(self.owner) << 32 | job.id.0 & 0xffff_ffff);
        Some(Action::Run(rtmfp_base::Job::new(id, job.into_work())))
    }

    /// Takes a datagram.
    pub fn datagram(&mut self, now: Time, meta: &RecvMeta, bytes: &mut [u8]) -> Disposition {
        self.endpoint.handle_datagram(now, meta, bytes)
    }
}

/// What an application does with a [`Node`]'s endpoint.
pub trait Application: Any {
    /// Something happened. Act on the endpoint at will.
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: crate::Event);

    /// A socket is open.
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        let _ = (now, endpoint);
    }

    /// When [`Self::on_timeout`] is to be called.
    fn poll_timeout(&mut self) -> Option<Time> {
        None
    }

    /// The time has come.
    fn on_timeout(&mut self, now: Time, endpoint: &mut Endpoint) {
        let _ = (now, endpoint);
    }
}

/// One endpoint with its sockets and its application, as a [`Service`].
#[derive(Debug)]
pub struct Node<A> {
    /// What it does.
    pub application: A,
    driver: Driver,
    actions: VecDeque<Action>,
}

impl<A: Application> Node<A> {
    /// A node that binds a socket for each address.
    pub fn new(endpoint: Endpoint, addresses: &[core::net::SocketAddr], application: A) -> Self {
        let open = |(number, &address): (usize, &core::net::SocketAddr)| Action::OpenUdp {
            socket: InterfaceId(number as u32),
            options: UdpOptions::from(address),
        };
        let actions = addresses.iter().enumerate().map(open).collect();
        Self { application, driver: Driver::new(endpoint, 0), actions }
    }

    /// The endpoint. After changing something, let the host call (any input will do).
    pub fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.driver.endpoint
    }

    /// Endpoint and application together.
    pub fn parts(&mut self) -> (&mut Endpoint, &mut A) {
        (&mut self.driver.endpoint, &mut self.application)
    }
}

impl<A: Application> Service for Node<A> {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Timeout => {
                self.driver.endpoint.handle_timeout(now);
                if self.application.poll_timeout().is_some_and(|at| at <= now) {
                    self.application.on_timeout(now, &mut self.driver.endpoint);
                }
            }
            Input::Datagram { meta, bytes } => {
                self.driver.datagram(now, &meta, bytes);
            }
            Input::UdpReady { socket, result } => match result {
                Ok(local) => {
                    self.driver.endpoint.add_interface(socket, local);
                    self.application.on_ready(now, &mut self.driver.endpoint);
                }
                Err(error) => self.actions.push_back(Action::Finished(Err(error))),
            },
            Input::PathError { socket, to, error } => {
                self.driver.endpoint.handle_path_error(now, to, socket, &error);
            }
            Input::JobDone(done) => self.driver.job_done(now, done),
            Input::Drain => self.driver.endpoint.shutdown(now, crate::Shutdown::Orderly),
            Input::Stop => self.driver.endpoint.shutdown(now, crate::Shutdown::Abrupt),
            _ => {}
        }
    }

    fn poll_action(&mut self, now: Time) -> Option<Action> {
        while let Some(event) = self.driver.endpoint.poll_event(now) {
            if event == crate::Event::ShutDown {
                self.actions.push_back(Action::Finished(Ok(())));
            }
            self.application.on_event(now, &mut self.driver.endpoint, event);
        }
        self.actions.pop_front().or_else(|| self.driver.poll_job())
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.driver.endpoint.poll_transmit(now, batch);
    }

    fn fill_stream(&mut self, _now: Time, _stream: StreamId, _limit: usize, _out: &mut Vec<u8>) {}

    fn poll_timeout(&mut self) -> Option<Time> {
        let endpoint = self.driver.endpoint.poll_timeout().map(|(at, _)| at);
        let application = self.application.poll_timeout();
        [endpoint, application].into_iter().flatten().min()
    }
}

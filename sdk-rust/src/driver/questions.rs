//! Who waits for the answer to which question.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use cloudsignal_core::client::{RequestId, Unanswered};

use crate::message::Message;
use crate::request::RequestError;

pub(crate) type Reply = oneshot::Sender<Result<Message, RequestError>>;

/// No more of them than the machine has open.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: BTreeMap<RequestId, Reply>,
}

impl Questions {
    pub(super) fn add(&mut self, id: RequestId, reply: Reply) {
        self.open.insert(id, reply);
    }

    /// One whose answer nobody waits for any more.
    pub(super) fn take_forgotten(&mut self) -> Option<RequestId> {
        let id = *self.open.iter().find(|(_, reply)| reply.is_closed())?.0;
        self.open.remove(&id);
        Some(id)
    }

    pub(super) fn answered(&mut self, id: RequestId, message: Message) {
        self.end(id, Ok(message));
    }

    pub(super) fn failed(&mut self, id: RequestId, why: Unanswered) {
        self.end(id, Err(RequestError::Unanswered(why)));
    }

    fn end(&mut self, id: RequestId, end: Result<Message, RequestError>) {
        if let Some(reply) = self.open.remove(&id) {
            let _nobody_listens = reply.send(end);
        }
    }

    pub(super) fn close(&mut self) {
        for reply in std::mem::take(&mut self.open).into_values() {
            let _nobody_listens = reply.send(Err(RequestError::Unanswered(Unanswered::Closed)));
        }
    }
}

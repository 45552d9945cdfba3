//! Calls and events, with a broker of a few bytes where one is needed. Real brokers are spoken with from each language.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one event among all"
)]

mod broker;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::*;
use broker::Broker;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Heard {
    events: Vec<Event>,
    ending: Option<Ending>,
    /// Calls after the last one.
    late: usize,
}

/// A listener that remembers.
#[derive(Clone, Default)]
struct Recorder(Arc<(Mutex<Heard>, Condvar)>);

impl Listener for Recorder {
    fn on_events(&self, events: Vec<Event>) {
        let mut heard = self.0.0.lock().unwrap();
        heard.late += usize::from(heard.ending.is_some());
        heard.events.extend(events);
        self.0.1.notify_all();
    }

    fn on_closed(&self, ending: Ending) {
        let mut heard = self.0.0.lock().unwrap();
        heard.late += usize::from(heard.ending.is_some());
        heard.ending = Some(ending);
        self.0.1.notify_all();
    }
}

impl Recorder {
    /// What `find` finds, once it does.
    fn wait<T>(&self, what: &str, find: impl Fn(&Heard) -> Option<T>) -> T {
        let mut heard = self.0.0.lock().unwrap();
        loop {
            if let Some(found) = find(&heard) {
                return found;
            }
            let (next, late) = self.0.1.wait_timeout(heard, PATIENCE).unwrap();
            heard = next;
            assert!(!late.timed_out(), "{what} has not come: {:?}", heard.events);
        }
    }

    fn event<T>(&self, what: &str, find: impl Fn(&Event) -> Option<T>) -> T {
        self.wait(what, |heard| heard.events.iter().find_map(&find))
    }

    fn ending(&self) -> Ending {
        self.wait("the end", |heard| heard.ending.clone())
    }

    fn messages(&self) -> Vec<Message> {
        let heard = self.0.0.lock().unwrap();
        let messages = heard.events.iter().filter_map(|event| match event {
            Event::MessageArrived { message } => Some(message.clone()),
            _ => None,
        });
        messages.collect()
    }
}

fn options(url: &str) -> ClientOptions {
    ClientOptions {
        url: url.into(),
        login: None,
        client_id: Some("one".into()),
        ca_pem: None,
        system_roots_der: None,
        certificate: None,
        store_folder: None,
        protocol_version: None,
        will: None,
        session_expiry_secs: None,
        keep_alive_secs: None,
        receive_max: None,
        inflight_max: None,
        queue_messages_max: None,
        queue_bytes_max: None,
        packet_bytes_max: None,
        reconnect_first_ms: Some(20),
        reconnect_max_ms: Some(20),
    }
}

/// Where nobody listens.
const NOWHERE: &str = "mqtt://127.0.0.1:1";

fn publication(topic: &str, qos: QosLevel) -> Publication {
    Publication {
        topic: topic.into(),
        payload: b"x".to_vec(),
        qos,
        retain: false,
        expiry_secs: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    }
}

fn wanted(filter: &str, ahead: u32) -> SubscribeOptions {
    SubscribeOptions {
        filter: filter.into(),
        qos: QosLevel::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: None,
        buffer_messages_max: None,
        ahead_messages_max: Some(ahead),
    }
}

fn open(options: ClientOptions) -> (Arc<NativeClient>, Recorder) {
    let recorder = Recorder::default();
    let client = NativeClient::open(options, Box::new(recorder.clone()), None).unwrap();
    client.begin();
    (client, recorder)
}

/// Ends a client; nothing is heard after the last word.
fn end(client: &NativeClient, recorder: &Recorder) -> Ending {
    client.finish();
    let ending = recorder.ending();
    client.join();
    assert_eq!(recorder.0.0.lock().unwrap().late, 0);
    ending
}

#[test]
fn what_makes_no_sense_is_refused_by_the_call_itself() {
    let refused = |options| NativeClient::open(options, Box::new(Recorder::default()), None).unwrap_err();
    assert!(matches!(refused(options("http://a")), ClientError::Usage { .. }));
    let mut no_pem = options(NOWHERE);
    no_pem.ca_pem = Some(b"nothing".to_vec());
    assert!(matches!(refused(no_pem), ClientError::Usage { .. }));

    let (client, recorder) = open(options(NOWHERE));
    let topic = client.publish(publication("a/+", QosLevel::AtMostOnce));
    assert!(matches!(topic, Err(ClientError::Usage { .. })), "{topic:?}");
    let filter = client.subscribe(wanted("a/#/b", 1));
    assert!(matches!(filter, Err(ClientError::Usage { .. })), "{filter:?}");
    let question = client.ask(publication("#", QosLevel::AtLeastOnce), 1_000);
    assert!(matches!(question, Err(ClientError::Usage { .. })), "{question:?}");
    end(&client, &recorder);
    assert!(matches!(
        client.subscribe(wanted("a", 1)),
        Err(ClientError::Closed { .. })
    ));
}

#[test]
fn nothing_is_told_before_the_beginning_or_after_the_end() {
    let recorder = Recorder::default();
    let client = NativeClient::open(options(NOWHERE), Box::new(recorder.clone()), None).unwrap();
    assert!(recorder.0.0.lock().unwrap().events.is_empty());
    client.begin();
    recorder.event("a problem", |event| match event {
        Event::Unreachable { detail } => Some(detail.clone()),
        _ => None,
    });
    let ticket = client.publish(publication("a", QosLevel::AtLeastOnce)).unwrap();
    let ending = end(&client, &recorder);
    assert_eq!(ending.why, CloseReason::ByCaller);
    let outcome = recorder.event("an outcome", |event| match event {
        Event::PublishEnded {
            ticket: ended,
            outcome,
        } if *ended == ticket => Some(outcome.clone()),
        _ => None,
    });
    assert!(
        matches!(&outcome, PublishOutcome::Failed { problem } if problem.blame == Blame::Closed),
        "{outcome:?}"
    );
}

#[test]
fn a_client_that_is_let_go_ends() {
    let (client, recorder) = open(options(NOWHERE));
    drop(client);
    assert_eq!(recorder.ending().why, CloseReason::ByCaller);
}

#[test]
fn a_refused_token_closes_the_client_which_says_so() {
    let mut options = options(NOWHERE);
    options.login = Some(Login::Tokens);
    let (client, recorder) = open(options);
    let request = recorder.event("a question", |event| match event {
        Event::TokenWanted { request, reason } => Some((*request, *reason)),
        _ => None,
    });
    assert_eq!(request.1, TokenReason::Initial);
    client.refuse_token(request.0 + 1_000, TokenFailure::Refused);
    client.refuse_token(request.0, TokenFailure::Refused);
    assert_eq!(recorder.ending().why, CloseReason::TokenRefused);
    client.join();
}

#[test]
fn messages_are_handed_over_as_far_ahead_as_was_asked_for() {
    let broker = Broker::start(5);
    let (client, recorder) = open(options(&broker.url()));
    let subscription = client.subscribe(wanted("a/#", 2)).unwrap();
    recorder.event("the grant", |event| match event {
        Event::SubscriptionGranted { subscription: it, .. } => (*it == subscription).then_some(()),
        _ => None,
    });
    let mut taken = Vec::new();
    while taken.len() < 5 {
        let known = taken.len();
        recorder.wait("a message", |heard| {
            let is_message = |event: &&Event| matches!(event, Event::MessageArrived { .. });
            (heard.events.iter().filter(is_message).count() > known).then_some(())
        });
        let there = recorder.messages();
        assert!(there.len() <= known + 2, "{} are too many", there.len() - known);
        let next = there[known].clone();
        client.done(vec![next.id]);
        taken.push(next);
    }
    let payloads: Vec<_> = taken.iter().map(|message| message.payload.clone()).collect();
    assert_eq!(payloads, [[b'0'], [b'1'], [b'2'], [b'3'], [b'4']]);
    assert_eq!(broker.acknowledged(5), [1, 2, 3, 4, 5]);
    end(&client, &recorder);
}

#[test]
fn what_is_not_done_with_is_not_acknowledged() {
    let broker = Broker::start(2);
    let (client, recorder) = open(options(&broker.url()));
    client.subscribe(wanted("a/#", 10)).unwrap();
    let second = recorder.event("the second", |event| match event {
        Event::MessageArrived { message } if message.payload == b"1" => Some(message.id),
        _ => None,
    });
    client.done(vec![second]);
    // In the order in which they came: the second waits for the first.
    end(&client, &recorder);
    assert!(!broker.acknowledged_at_the_end().contains(&1));
}

#[test]
fn a_listener_that_throws_harms_nobody() {
    struct Thrower(Recorder);
    impl Listener for Thrower {
        fn on_events(&self, events: Vec<Event>) {
            self.0.on_events(events);
            panic!("thrown on purpose");
        }

        fn on_closed(&self, ending: Ending) {
            self.0.on_closed(ending);
            panic!("thrown on purpose");
        }
    }
    let recorder = Recorder::default();
    let thrower = Box::new(Thrower(recorder.clone()));
    let client = NativeClient::open(options(NOWHERE), thrower, None).unwrap();
    client.begin();
    for _ in 0..2 {
        client.publish(publication("a", QosLevel::AtMostOnce)).unwrap();
    }
    recorder.event("an event", |_| Some(()));
    end(&client, &recorder);
}

/// What a store was told, and what it says.
#[derive(Clone, Default)]
struct Shelf {
    records: Arc<Mutex<std::collections::BTreeMap<Vec<u8>, Vec<u8>>>>,
    is_broken: bool,
}

impl RecordStore for Shelf {
    fn load(&self) -> Result<Vec<StoredRecord>, StoreError> {
        if self.is_broken {
            let detail = "the disk is gone".into();
            return Err(StoreError::Failed { detail });
        }
        let records = self.records.lock().unwrap();
        let record = |(key, value): (&Vec<u8>, &Vec<u8>)| StoredRecord {
            key: key.clone(),
            value: Some(value.clone()),
        };
        Ok(records.iter().map(record).collect())
    }

    fn apply(&self, changes: Vec<StoredRecord>) -> Result<(), StoreError> {
        let mut records = self.records.lock().unwrap();
        for StoredRecord { key, value } in changes {
            match value {
                Some(value) => records.insert(key, value),
                None => records.remove(&key),
            };
        }
        Ok(())
    }
}

#[test]
fn a_store_of_another_language_keeps_what_waits() {
    let shelf = Shelf::default();
    let with_store = |mut options: ClientOptions| {
        options.client_id = None;
        let recorder = Recorder::default();
        let store: Box<dyn RecordStore> = Box::new(shelf.clone());
        let client = NativeClient::open(options, Box::new(recorder.clone()), Some(store)).unwrap();
        client.begin();
        (client, recorder)
    };
    let (client, recorder) = with_store(options(NOWHERE));
    let ticket = client.publish(publication("a", QosLevel::AtLeastOnce)).unwrap();
    recorder.event("the store's word", |event| {
        (*event == Event::PublishStored { ticket }).then_some(())
    });
    let id = client.client_id();
    end(&client, &recorder);

    let broker = Broker::start(0);
    let (client, recorder) = with_store(options(&broker.url()));
    assert_eq!(client.client_id(), id);
    assert_eq!(broker.published(), *b"x");
    end(&client, &recorder);
}

#[test]
fn a_store_that_cannot_be_read_is_said_at_once() {
    let shelf = Shelf {
        is_broken: true,
        ..Shelf::default()
    };
    let opened = NativeClient::open(
        options(NOWHERE),
        Box::new(Recorder::default()),
        Some(Box::new(shelf)),
    );
    let error = opened.unwrap_err();
    assert!(
        matches!(&error, ClientError::Storage { detail } if detail.contains("the disk is gone")),
        "{error:?}"
    );
}

#[test]
fn suspended_it_is_quiet_and_resumed_it_is_back() {
    let broker = Broker::start(0);
    let (client, recorder) = open(options(&broker.url()));
    let state = |wanted: ConnectionState| {
        move |event: &Event| (*event == Event::StateChanged { state: wanted }).then_some(())
    };
    recorder.event("the connection", state(ConnectionState::Connected));
    client.suspend().unwrap();
    recorder.event("the pause", state(ConnectionState::Suspended));
    client.resume().unwrap();
    recorder.wait("the second connection", |heard| {
        let opened = |event: &&Event| matches!(event, Event::SessionOpened { .. });
        (heard.events.iter().filter(opened).count() == 2).then_some(())
    });
    end(&client, &recorder);
}

#[test]
fn a_message_that_nobody_takes_is_named_and_can_be_given_up() {
    let broker = Broker::that_hates(b'x');
    let (client, recorder) = open(options(&broker.url()));
    let poison = client.publish(publication("a", QosLevel::AtLeastOnce)).unwrap();
    let message = recorder.event("the warning", |event| match event {
        Event::Warned {
            warning: Warning::Stuck { message, .. },
        } => Some(*message),
        _ => None,
    });
    // It may be on its way once more just now.
    loop {
        let asked = client.give_up_message(message).unwrap();
        let is_given_up = recorder.event("an answer", |event| match event {
            Event::GiveUpEnded { ticket, is_given_up } => (*ticket == asked).then_some(*is_given_up),
            _ => None,
        });
        if is_given_up {
            break;
        }
    }
    recorder.event("its outcome", |event| {
        let outcome = PublishOutcome::Indeterminate;
        (*event
            == Event::PublishEnded {
                ticket: poison,
                outcome,
            })
        .then_some(())
    });
    end(&client, &recorder);
}

//! Tokens: made by a server, used by a client, renewed while it is connected, revoked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloudsignal::{
    AskToken, Client, Closed, Ended, Grant, IssuerError, PublishError, ReasonCode, Revoke, Token, TokenError,
    TokenIssuer, TokenReason,
};
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::wait;
use tokio::time::timeout;

fn issuer(broker: &Broker) -> TokenIssuer {
    let first_run = broker.first_run();
    TokenIssuer::new(broker.url(Listener::Https), first_run.secret_key).ca_file(first_run.ca_file)
}

#[tokio::test]
async fn a_server_makes_refreshes_and_revokes_tokens() {
    let broker = BrokerOptions::default().start();
    let issuer = issuer(&broker);
    let order = issuer.order("ada@example.com").lifetime(Duration::from_secs(600));
    let token = order.grants(&[Grant::both("ada/#")]).create().await.unwrap();
    assert_eq!((token.expires_in, &*token.user_email), (600, "ada@example.com"));
    let refreshed = issuer.refresh(&token).await.unwrap();
    assert_eq!(refreshed.token_id, token.token_id);
    assert_ne!(refreshed.access_token, token.access_token);

    let provided = refreshed.clone();
    let client = Client::builder(broker.url(Listener::Mqtts))
        .ca_file(broker.first_run().ca_file)
        .token_provider(move |_| std::future::ready(Ok(Token::from(provided.clone()))))
        .connect()
        .await
        .unwrap();
    let mut own = client.subscribe("ada/#").await.unwrap();
    client.publish("ada/1", "x").await.unwrap();
    assert_eq!(own.recv().await.unwrap().text(), Ok("x"));
    let outside = client.publish("bob/1", "x").await;
    assert_eq!(
        outside,
        Ok(cloudsignal::Outcome::Rejected(ReasonCode::NotAuthorized))
    );

    issuer.revoke(Revoke::Token(token.token_id)).await.unwrap();
    assert!(
        timeout(wait::DEADLINE, own.recv())
            .await
            .expect("an end")
            .is_none()
    );
    assert!(
        matches!(own.ended(), Some(Ended::Closed(Closed::Refused(_)))),
        "{:?}",
        own.ended()
    );
    assert!(matches!(
        client.publish("ada/1", "x").await,
        Err(PublishError::Closed(Closed::Refused(_)))
    ));
    let refused = issuer.refresh(&refreshed).await;
    assert!(
        matches!(
            refused,
            Err(IssuerError::Refused {
                status: 401 | 404,
                ..
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_issuer_says_what_is_wrong() {
    let broker = BrokerOptions::default().start();
    let first_run = broker.first_run();
    let wrong_key = TokenIssuer::new(broker.url(Listener::Http), "sk_wrong")
        .create("ada@example.com")
        .await;
    assert!(
        matches!(wrong_key, Err(IssuerError::Refused { status: 401, .. })),
        "{wrong_key:?}"
    );
    let distrusted = TokenIssuer::new(broker.url(Listener::Https), first_run.secret_key)
        .create("ada@example.com")
        .await;
    assert!(
        matches!(distrusted, Err(IssuerError::Unreachable(_))),
        "{distrusted:?}"
    );
}

#[tokio::test]
async fn a_provider_is_asked_once_per_need_and_its_no_is_final() {
    let broker = BrokerOptions::default().start();
    let issuer = issuer(&broker);
    let asked = Arc::new(AtomicUsize::new(0));
    let (counted, minting) = (Arc::clone(&asked), issuer.clone());
    let client = Client::builder(broker.url(Listener::Mqtt))
        .token_provider(move |ask: AskToken| {
            let (number, minting) = (counted.fetch_add(1, Ordering::Relaxed), minting.clone());
            async move {
                assert_eq!(
                    ask.reason,
                    if number == 0 {
                        TokenReason::Initial
                    } else {
                        TokenReason::Rejected
                    }
                );
                let token = minting.create("ada@example.com").await;
                token.map(Token::from).map_err(|_| TokenError::Refused)
            }
        })
        .connect()
        .await
        .unwrap();
    client.suspend().await;
    client.resume().await;
    let outcome = timeout(wait::DEADLINE, client.publish("a", ""))
        .await
        .expect("an answer");
    assert_eq!(
        outcome.unwrap(),
        cloudsignal::Outcome::Acknowledged(ReasonCode::NoMatchingSubscribers)
    );
    assert_eq!(asked.load(Ordering::Relaxed), 1, "the token is still good");

    let nobody = Client::builder(broker.url(Listener::Mqtt))
        .token_provider(|_| std::future::ready(Err(TokenError::Refused)))
        .connect();
    let refused = timeout(wait::DEADLINE, nobody).await.expect("an answer");
    assert!(
        matches!(
            refused,
            Err(cloudsignal::ConnectError::Closed(Closed::TokenRefused))
        ),
        "{refused:?}"
    );
}

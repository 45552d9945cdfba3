//! Temporary tokens: their life, renewal, replacement and revocation.

use super::*;

#[tokio::test]
async fn a_token_lives_its_time() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let grant = bench.token(&org, "John@Example.com", false).await;
    assert_eq!(grant.username, format!("john_example_com@{org}"));
    assert_eq!(
        (grant.email.as_str(), grant.expires_in_secs),
        ("john@example.com", 3_600)
    );
    assert_eq!(grant.expires_at.rfc3339(), "2026-01-01T01:00:00Z");
    assert_eq!(grant.refresh_recommended_at.rfc3339(), "2026-01-01T00:54:00Z");
    bench.clock.advance(Duration::from_secs(3_599));
    assert_eq!(bench.check(&grant), Ok(grant.expires_at));
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.check(&grant), Err(CredentialFault::Expired));
    assert!(matches!(
        bench.refresh(&grant).await,
        Err(CommandError::Refused {
            credential: CredentialFault::Expired
        })
    ));
    for ttl_secs in [59, TOKEN_TTL_SECS_MAX + 1] {
        let email = "a@b.c".to_owned();
        let command = Command::TokenCreate {
            org: org.clone(),
            email,
            ttl_secs: Some(ttl_secs),
            replace_existing: false,
        };
        assert_eq!(
            bench.run(command).await.unwrap_err().to_string(),
            "ttl must be 60 to 86400 seconds"
        );
    }
}

#[tokio::test]
async fn a_refreshed_token_keeps_its_connections() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let first = bench.token(&org, "john@example.com", false).await;
    let identity = bench.identity(&first);
    let mut events = bench.directory.events();
    bench.clock.advance(Duration::from_secs(3_000));
    let second = bench.refresh(&first).await.unwrap();
    assert_eq!(second.token_id, first.token_id);
    assert_ne!(second.password.expose(), first.password.expose());
    assert_eq!(second.expires_at.rfc3339(), "2026-01-01T01:50:00Z");
    let expires_at = bench.clock.instant_of(second.expires_at);
    let id: Box<str> = first.token_id.to_string().into();
    assert_eq!(
        next(&mut events),
        Some(AccountChange::TokenDeadlineMoved { id, expires_at })
    );
    assert_eq!(bench.directory.standing(&identity), Ok(Some(expires_at)));
    assert_eq!(
        bench.check(&first),
        Ok(second.expires_at),
        "the old password is good, with the new deadline"
    );
    bench.clock.advance(Duration::from_secs(600));
    assert_eq!(
        bench.check(&first),
        Err(CredentialFault::Expired),
        "until its own end"
    );
    assert_eq!(bench.check(&second), Ok(second.expires_at));
    assert_eq!(bench.directory.standing(&identity), Ok(Some(expires_at)));
}

#[tokio::test]
async fn a_client_that_refreshes_in_a_loop_moves_nothing() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let first = bench.token(&org, "john@example.com", false).await;
    let mut events = bench.directory.events();
    for _ in 0..100 {
        let again = bench.refresh(&first).await.unwrap();
        assert_eq!(again.expires_at, first.expires_at);
    }
    assert_eq!(next(&mut events), None);
}

#[tokio::test]
async fn replacing_ends_the_earlier_tokens_of_one_principal_only() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let (john, jane) = ("john@example.com", "jane@example.com");
    let earlier = [
        bench.token(&org, john, true).await,
        bench.token(&org, john, false).await,
    ];
    let other = bench.token(&org, jane, false).await;
    let identity = bench.identity(&earlier[1]);
    bench.identity(&other);
    let mut events = bench.directory.events();
    let replacement = bench.token(&org, john, true).await;
    for grant in &earlier {
        assert_eq!(bench.check(grant), Err(CredentialFault::Revoked));
    }
    assert!(bench.check(&other).is_ok() && bench.check(&replacement).is_ok());
    let id = earlier[1].token_id.to_string().into();
    assert_eq!(
        next(&mut events),
        Some(AccountChange::TokenRevoked { id }),
        "the one that logged in"
    );
    assert_eq!(next(&mut events), None);
    assert_eq!(
        bench.directory.standing(&identity),
        Err(Gone::Credential(CredentialFault::Revoked))
    );
    let renewed = bench.refresh(&replacement).await.unwrap();
    assert!(bench.check(&renewed).is_ok());
    bench.token(&org, john, true).await;
    assert_eq!(
        bench.check(&renewed),
        Err(CredentialFault::Revoked),
        "a renewal is of its token's epoch"
    );
}

#[tokio::test]
async fn a_revoked_token_ends_with_all_its_renewals() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let first = bench.token(&org, "john@example.com", false).await;
    bench.clock.advance(Duration::from_secs(60));
    let second = bench.refresh(&first).await.unwrap();
    let identity = bench.identity(&second);
    let mut events = bench.directory.events();
    let revoke = Command::TokenRevoke {
        org: org.clone(),
        token_id: first.token_id.to_string(),
    };
    bench.run(revoke).await.unwrap();
    let change = next(&mut events).unwrap();
    let effect = LiveEffect::EndCredential(identity.credential.clone(), ReasonCode::NotAuthorized);
    assert_eq!(change.effect(), effect);
    assert_eq!(bench.check(&first), Err(CredentialFault::Revoked));
    assert_eq!(bench.check(&second), Err(CredentialFault::Revoked));
    assert!(bench.directory.standing(&identity).is_err());
    assert!(bench.refresh(&second).await.is_err());
}

#[tokio::test]
async fn a_token_cannot_be_refreshed_under_another_id_or_in_another_organization() {
    let bench = bench().await;
    let (org, other) = (bench.org().await.id, bench.org().await.id);
    let (mine, theirs) = (
        bench.token(&org, "a@b.c", false).await,
        bench.token(&other, "a@b.c", false).await,
    );
    let command = Command::TokenRefresh {
        token_id: theirs.token_id.to_string(),
        password: mine.password.clone(),
    };
    let refused = CommandError::Refused {
        credential: CredentialFault::Unknown,
    };
    assert_eq!(bench.run(command).await.unwrap_err(), refused);
    let revoke = Command::TokenRevoke {
        org: other,
        token_id: mine.token_id.to_string(),
    };
    bench.run(revoke).await.unwrap();
    assert!(
        bench.check(&mine).is_ok(),
        "a revocation stays in its organization"
    );
}

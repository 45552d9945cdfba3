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
            scope: None,
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
async fn a_refresh_within_the_same_second_makes_another_password() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let mut grants = vec![bench.token(&org, "john@example.com", false).await];
    for _ in 0..3 {
        let again = bench.refresh(grants.last().unwrap()).await.unwrap();
        assert!(
            grants
                .iter()
                .all(|old| old.password.expose() != again.password.expose())
        );
        assert_eq!(
            (again.expires_at, again.expires_in_secs),
            (grants[0].expires_at, 3_600)
        );
        grants.push(again);
    }
    bench.clock.advance(Duration::from_secs(10));
    let later = bench.refresh(&grants[3]).await.unwrap();
    assert_eq!(
        later.expires_at.rfc3339(),
        "2026-01-01T01:00:10Z",
        "its life is as long"
    );
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
async fn replaced_tokens_open_no_connection_and_end_none() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let (john, jane) = ("john@example.com", "jane@example.com");
    let earlier = [
        bench.token(&org, john, true).await,
        bench.token(&org, john, false).await,
    ];
    let other = bench.token(&org, jane, false).await;
    let identity = bench.identity(&earlier[1]);
    let mut events = bench.directory.events();
    let replacement = bench.token(&org, john, true).await;
    for grant in &earlier {
        assert_eq!(bench.check(grant), Err(CredentialFault::Revoked));
        assert!(bench.refresh(grant).await.is_err(), "nor does it live longer");
    }
    assert!(bench.check(&other).is_ok() && bench.check(&replacement).is_ok());
    assert_eq!(next(&mut events), None);
    assert_eq!(bench.directory.standing(&identity), Ok(identity.expires_at));
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
async fn all_tokens_of_an_owner_or_a_provider_end_together_and_later_ones_do_not() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let order = |email: &str, provider: &str| TokenOrder {
        provider: provider.into(),
        ..TokenOrder::new(&org, email)
    };
    let (john, jane) = ("john@example.com", "jane@example.com");
    let issue = async |email, provider| bench.directory.issue_token(order(email, provider)).await.unwrap();
    let (johns, janes, firebase) = (
        issue(john, "supabase").await,
        issue(jane, "supabase").await,
        issue(jane, "firebase").await,
    );
    let identities = [&johns, &janes, &firebase].map(|grant| bench.identity(grant));
    let standing = || {
        let stays = |identity: &Identity| bench.directory.standing(identity).is_ok();
        identities.each_ref().map(stays)
    };
    let mut events = bench.directory.events();
    let revoke = async |of| {
        let org = org.clone();
        bench.run(Command::TokenRevokeAll { org, of }).await.unwrap();
    };
    revoke(TokensOf::UserEmail("John@example.com".into())).await;
    let principal = identities[0].principal.clone();
    assert_eq!(next(&mut events), Some(AccountChange::OwnerCut { principal }));
    assert_eq!(standing(), [false, true, true]);
    assert_eq!(bench.check(&johns), Err(CredentialFault::Revoked));

    revoke(TokensOf::Provider("supabase".into())).await;
    let provider = "supabase".into();
    assert_eq!(next(&mut events), Some(AccountChange::ProviderCut { provider }));
    assert_eq!(standing(), [false, false, true]);
    let (again, other) = (issue(john, "supabase").await, issue(jane, "firebase").await);
    assert!(bench.check(&again).is_ok() && bench.check(&other).is_ok());
    assert!(bench.directory.standing(&bench.identity(&again)).is_ok());

    let list = Command::TokenList {
        org: org.clone(),
        page: PageRequest::default(),
    };
    let Outcome::Tokens { tokens, .. } = bench.run(list).await.unwrap() else {
        panic!()
    };
    let mut listed: Vec<_> = tokens.iter().map(|token| token.token_id).collect();
    let mut living = [firebase.token_id, again.token_id, other.token_id];
    listed.sort();
    living.sort();
    assert_eq!(listed, living, "only what is still worth something");
}

#[tokio::test]
async fn what_a_token_says_reaches_the_connection_and_survives_a_renewal() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let scope: Vec<ScopeGrant> =
        serde_json::from_value(json!([{ "topic": "chat/#", "action": "pub+sub" }])).unwrap();
    let order = TokenOrder {
        provider: "auth0".into(),
        facts: vec![("team".into(), "red".into()), ("user_id".into(), "u-7".into())],
        scope: Some(scope.clone()),
        ..TokenOrder::new(&org, "john@example.com")
    };
    let grant = bench.directory.issue_token(order.clone()).await.unwrap();
    assert_eq!(grant.provider, "auth0");
    bench.clock.advance(Duration::from_secs(600));
    for grant in [bench.refresh(&grant).await.unwrap(), grant] {
        let identity = bench.identity(&grant);
        for (name, value) in [
            ("team", "red"),
            ("user_id", "u-7"),
            ("email", "john@example.com"),
            ("provider", "auth0"),
        ] {
            assert_eq!(identity.claim(name), Some(value));
        }
        assert_eq!(
            identity.scope.as_deref().map(token_scope::show),
            Some(scope.clone())
        );
    }
    for (facts, problem) in [
        (
            vec![("email", "eve@example.com".to_owned())],
            "must not be named email",
        ),
        (vec![("a", "x".into()); TOKEN_FACTS_MAX + 1], "must be at most 16"),
        (vec![("a", "x".repeat(TOKEN_FACTS_BYTES_MAX))], "bytes together"),
        (vec![("", "x".into())], "names of 1 to 64 bytes"),
    ] {
        let facts = facts
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let order = TokenOrder {
            facts,
            ..order.clone()
        };
        let refused = bench.directory.issue_token(order).await.unwrap_err().to_string();
        assert!(
            refused.starts_with("claims ") && refused.contains(problem),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn the_list_of_tokens_has_pages() {
    let bench = bench().await;
    let org = bench.org().await.id;
    for name in ["ada", "bob", "cyd"] {
        bench.token(&org, &format!("{name}@example.com"), false).await;
    }
    let (mut after, mut listed) = (None, Vec::new());
    loop {
        let page = PageRequest {
            after,
            limit: Some(2),
        };
        let command = Command::TokenList {
            org: org.clone(),
            page,
        };
        let Outcome::Tokens { tokens, next } = bench.run(command).await.unwrap() else {
            panic!()
        };
        assert!(tokens.len() <= 2);
        listed.extend(tokens.into_iter().map(|token| token.user_email));
        let Some(next) = next else { break };
        after = Some(next);
    }
    assert_eq!(listed, ["ada@example.com", "bob@example.com", "cyd@example.com"]);
    bench.clock.advance(Duration::from_secs(3_601));
    let all = Command::TokenList {
        org,
        page: PageRequest::default(),
    };
    let Outcome::Tokens { tokens, next: None } = bench.run(all).await.unwrap() else {
        panic!()
    };
    assert!(tokens.is_empty(), "they have ended");
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

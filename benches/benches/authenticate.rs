//! Who the API key of a request belongs to, once it is remembered: what it adds to every request.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue};
use criterion::{Criterion, criterion_group, criterion_main};
use server::auth::{Auth, NewKey, NewUser, Role, Scopes};
use server::config::Config;
use server::control::Control;
use storage::SystemClock;

fn authenticate(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::default();
    config.storage.data_dir = folder.path().to_path_buf();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (auth, key) = runtime.block_on(async {
        let control = Control::open(&config, Arc::new(SystemClock::default())).await.expect("a control database");
        let auth = Auth::open(&config, control).expect("accounts");
        let person = NewUser {
            name: "Ada".to_owned(),
            email: "ada@example.org".to_owned(),
            password: None,
            role: Role::Patient,
        };
        let user = auth.register(person).await.expect("a person");
        let new = NewKey { name: "bench".to_owned(), scopes: Scopes::ALL, expires_at: None };
        let (_, key) = auth.create_key(&user.id, new).await.expect("a key");
        (auth, key)
    });
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_str(&key).expect("a header"));
    let mut group = criterion.benchmark_group("authenticate");
    group.bench_function("an API key that is remembered", |bencher| {
        bencher.iter(|| runtime.block_on(auth.authenticate(&headers)).expect("a principal"));
    });
    group.finish();
}

criterion_group!(benches, authenticate);
criterion_main!(benches);

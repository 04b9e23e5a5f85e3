//! Databases that are only recorded: copies of one that was really made, with ids and documents of their own and no servers.

use std::time::{Duration, Instant};

use anyhow::Context;
use pilothouse_model::{Database, DatabaseId, DatabaseName, Document, ServerId, Subject};
use pilothouse_store::{Store, Transaction, Urgency};

use crate::program::Program;

/// How long the first database may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The first port of the copies' endpoints; nothing listens there.
const FIRST_PORT: u64 = 20_001;

/// Has the program hold `count` databases, of which one runs.
pub(crate) fn fill(program: &mut Program, count: u64) -> anyhow::Result<()> {
    let mut api = program.api()?;
    let (uid, _) = program.create(&mut api, "db-0", false)?;
    let begun = Instant::now();
    api.wait_status(uid, "active")?;
    anyhow::ensure!(begun.elapsed() < PATIENCE, "the first database took too long");
    drop(api);
    program.stop()?;
    copy(program, count)?;
    program.restart()?;
    Ok(())
}

fn copy(program: &Program, count: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(&program.data_dir().join("store.redb"))?;
        let view = store.view();
        let first = view
            .all::<Database>()
            .next()
            .context("the first database")?
            .record
            .as_ref()
            .clone();
        let subject = Subject::Database(first.id);
        let documents: Vec<Document> = view
            .all::<Document>()
            .filter(|document| document.key.subject == subject)
            .map(|document| document.record.as_ref().clone())
            .collect();
        drop(view);
        for number in 1..count {
            store
                .transact(Urgency::Normal, |transaction| {
                    put_copy(transaction, &first, &documents, number);
                    Ok::<_, std::convert::Infallible>(())
                })
                .await?;
        }
        store.close().await?;
        Ok(())
    })
}

fn put_copy(transaction: &mut Transaction<'_>, first: &Database, documents: &[Document], number: u64) {
    let mut database = first.clone();
    database.id = DatabaseId::new();
    database.name = DatabaseName::parse(format!("db-{number}")).expect("a name");
    database.spec.network.port = u16::try_from(FIRST_PORT + number).expect("as many ports as copies");
    // Nothing is done about a database whose creation failed: the record is all there is of it.
    database.creation_error = Some("it is a copy of a record".to_owned());
    database.operation = None;
    for shard in &mut database.layout.shards {
        for server in &mut shard.servers {
            server.id = ServerId::new();
        }
        shard.lineage.primary = shard.servers.first().map(|server| server.id);
    }
    let subject = Subject::Database(database.id);
    transaction.allocate_number("redis-enterprise/bdb", 1, subject);
    for server in database.layout.servers() {
        transaction.allocate_number("redis-enterprise/shard", 1, Subject::Server(server.id));
    }
    for document in documents {
        let mut document = document.clone();
        document.key.subject = subject;
        transaction.put(document);
    }
    transaction.put(database);
}

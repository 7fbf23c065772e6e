//! The wallet file: what is on disk, who may open it, and what damage does.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use sqlx::{Connection, SqliteConnection};

use super::*;

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Note {
    id: u8,
    text: String,
}

impl Record for Note {
    const KIND: Kind = Kind::Relay;
    fn name(&self) -> Vec<u8> {
        vec![self.id]
    }
}

fn entropy() -> Entropy {
    Entropy::new(ChaCha20Rng::from_seed([3; 32]))
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

async fn create(directory: &Path) -> Result<Store, StoreError> {
    let first = Changes::default().put(&Note { id: 1, text: "the first note".into() });
    Store::create(directory, passphrase("right"), SealParams::for_tests(), entropy(), first).await
}

async fn open(directory: &Path, text: &str) -> Result<Store, StoreError> {
    Store::open(directory, passphrase(text), entropy()).await
}

#[tokio::test]
async fn records_survive_and_are_replaced_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path()).await.unwrap();
    let changes = Changes::default()
        .put(&Note { id: 1, text: "again".into() })
        .put(&Note { id: 2, text: "second".into() })
        .put(&Note { id: 3, text: "third".into() })
        .delete::<Note>(&[3]);
    store.commit(changes).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let store = open(directory.path(), "right").await.unwrap();
    assert_eq!(store.get::<Note>(&[1]).await.unwrap().unwrap().text, "again");
    assert_eq!(store.get::<Note>(&[3]).await.unwrap(), None);
    assert_eq!(store.all::<Note>().await.unwrap().len(), 2);
}

#[tokio::test]
async fn nothing_readable_is_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path()).await.unwrap();
    store.close().await.unwrap();
    let bytes = std::fs::read(directory.path().join(DATABASE)).unwrap();
    for readable in ["the first note", "\"text\"", "right"] {
        assert!(!bytes.windows(readable.len()).any(|window| window == readable.as_bytes()));
    }
}

#[tokio::test]
async fn another_passphrase_does_not_open_it() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(directory.path()).await.unwrap());
    let error = open(directory.path(), "wrong").await.err().unwrap();
    assert!(matches!(error, StoreError::WrongPassphrase(_)), "{error}");
}

#[tokio::test]
async fn a_second_user_is_refused_until_the_first_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let first = create(directory.path()).await.unwrap();
    let error = open(directory.path(), "right").await.err().unwrap();
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    let reader = Store::open_to_read(directory.path(), passphrase("right"), entropy()).await;
    assert_eq!(reader.unwrap().all::<Note>().await.unwrap().len(), 1);
    drop(first);
    assert!(open(directory.path(), "right").await.is_ok());
}

#[tokio::test]
async fn a_wallet_is_not_made_over_another_and_not_found_where_there_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let missing = open(directory.path(), "right").await.err().unwrap();
    assert!(matches!(missing, StoreError::Missing(_)), "{missing}");
    drop(create(directory.path()).await.unwrap());
    let exists = create(directory.path()).await.err().unwrap();
    assert!(matches!(exists, StoreError::Exists(_)), "{exists}");
}

#[tokio::test]
async fn a_half_made_wallet_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(UNFINISHED), b"half").unwrap();
    std::fs::write(directory.path().join(UNFINISHED_JOURNAL), b"of the other half").unwrap();
    assert!(create(directory.path()).await.is_ok());
    assert!(!directory.path().join(UNFINISHED).exists());
    assert!(!directory.path().join(UNFINISHED_JOURNAL).exists());
}

#[tokio::test]
async fn a_copy_of_the_directory_is_a_wallet() {
    let directory = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let _open = create(directory.path()).await.unwrap();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let store = open(copy.path(), "right").await.unwrap();
    assert_eq!(store.all::<Note>().await.unwrap().len(), 1);
}

async fn edit(directory: &Path, sql: &'static str) {
    let url = format!("sqlite:{}", directory.join(DATABASE).display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn changed_and_swapped_records_are_damaged() {
    for sql in [
        "UPDATE record SET sealed = zeroblob(99) WHERE kind = 4",
        "UPDATE record SET id = zeroblob(16) WHERE kind = 4",
        "UPDATE record SET id = zeroblob(3) WHERE kind = 4",
        "UPDATE record SET sealed = (SELECT sealed FROM record WHERE kind = 0) WHERE kind = 4",
    ] {
        let directory = tempfile::tempdir().unwrap();
        drop(create(directory.path()).await.unwrap());
        edit(directory.path(), sql).await;
        let store = open(directory.path(), "right").await.unwrap();
        let error = store.all::<Note>().await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { kind: "relay", .. }), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_file_of_a_newer_release_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(directory.path()).await.unwrap());
    edit(directory.path(), "PRAGMA user_version = 99").await;
    let error = open(directory.path(), "right").await.err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 99, known: 1 }), "{error}");
}

#[tokio::test]
async fn a_failed_commit_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path()).await.unwrap();
    edit(
        directory.path(),
        "CREATE TRIGGER refuse BEFORE INSERT ON record WHEN NEW.kind = 5
         BEGIN SELECT RAISE(ABORT, 'disk full'); END",
    )
    .await;
    #[derive(Serialize, Deserialize)]
    struct Refused;
    impl Record for Refused {
        const KIND: Kind = Kind::Purchase;
        fn name(&self) -> Vec<u8> {
            Vec::new()
        }
    }
    let changes = Changes::default().put(&Note { id: 1, text: "changed".into() }).put(&Refused);
    assert!(matches!(store.commit(changes).await, Err(StoreError::Database(_))));
    let notes = store.all::<Note>().await.unwrap();
    assert_eq!(notes, [Note { id: 1, text: "the first note".into() }]);
}

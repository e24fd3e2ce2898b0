//! Files of users with other clusters.

use super::*;

const OTHERS: &str = "\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: b3RoZXI=
    server: https://prod.example.com
  name: prod
contexts:
- context:
    cluster: prod
    user: me
  name: prod
current-context: prod
kind: Config
preferences:
  colors: true
users:
- name: me
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: \"yes\"
      args: [\"0x1f\", \"1e3\", \"null\"]
      interactiveMode: Never
";

/// A data directory with certificates, and a kubeconfig outside.
struct Case {
    folder: tempfile::TempDir,
    pki: Pki,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::load_or_create(&folder.path().join("data/pki"), &[]).unwrap();
        Self { folder, pki }
    }

    fn shared(&self) -> Kubeconfig {
        let data = self.folder.path().join("data");
        let path = self.folder.path().join("config");
        Kubeconfig::new(Some(&path), &data.join("kubeconfig"), &data)
    }

    fn own(&self) -> Kubeconfig {
        let data = self.folder.path().join("data");
        Kubeconfig::new(None, &data.join("kubeconfig"), &data)
    }
}

fn parsed(kubeconfig: &Kubeconfig) -> Value {
    read(kubeconfig.path()).unwrap()
}

#[test]
fn other_clusters_users_and_contexts_stay() {
    let case = Case::new();
    let shared = case.shared();
    std::fs::write(shared.path(), OTHERS).unwrap();
    let before = parsed(&shared);
    assert!(shared.write("https://127.0.0.1:6443", &case.pki).unwrap());
    let after = parsed(&shared);
    for list in ["clusters", "users", "contexts"] {
        let (old, new) = (
            before[list].as_array().unwrap(),
            after[list].as_array().unwrap(),
        );
        assert_eq!(old[..], new[..1], "{list}");
        assert_eq!(new.len(), 2, "{list}");
    }
    assert_eq!(after["preferences"], before["preferences"]);
    assert_eq!(after["current-context"], "ark", "as kind and k3d do");

    // The user returns to the other cluster, and the server starts again at another port.
    let text = std::fs::read_to_string(shared.path()).unwrap();
    let text = text.replace("current-context: ark", "current-context: prod");
    std::fs::write(
        shared.path(),
        text.replace("namespace: default", "namespace: team"),
    )
    .unwrap();
    assert!(!shared.write("https://127.0.0.1:7443", &case.pki).unwrap());
    let after = parsed(&shared);
    assert_eq!(after["current-context"], "prod");
    assert_eq!(
        after["clusters"][1]["cluster"]["server"],
        "https://127.0.0.1:7443"
    );
    assert_eq!(after["contexts"][1]["context"]["namespace"], "team");
    assert_eq!(after["clusters"].as_array().unwrap().len(), 2);
    let left = std::fs::read_dir(case.folder.path()).unwrap().count();
    assert_eq!(left, 2, "no lock and no draft");
}

#[test]
fn entries_of_another_server_are_refused() {
    let (case, other) = (Case::new(), Case::new());
    let shared = case.shared();
    let theirs = Kubeconfig {
        path: shared.path().to_owned(),
        ..other.shared()
    };
    theirs.write("https://127.0.0.1:1", &other.pki).unwrap();
    let before = std::fs::read(shared.path()).unwrap();
    let refused = shared.check_merge(&case.pki).unwrap_err().to_string();
    assert!(refused.contains("delete-cluster ark"), "{refused}");
    shared.write("https://127.0.0.1:2", &case.pki).unwrap_err();
    assert_eq!(std::fs::read(shared.path()).unwrap(), before);
    // Certificates were made again: the data directory is the same.
    theirs.write("https://127.0.0.1:1", &case.pki).unwrap();

    for (text, part) in [
        (
            "contexts: [{name: ark, context: {cluster: prod}}]",
            "delete-context ark",
        ),
        (
            "users: [{name: ark-admin, user: {token: a}}]",
            "delete-user ark-admin",
        ),
        ("clusters: {}", "clusters is no list"),
        ("kind: Pod", "its kind is not Config"),
        ("[]", "it is no object"),
        ("a: [", "it is no kubeconfig"),
    ] {
        std::fs::write(shared.path(), text).unwrap();
        let refused = shared.write("https://127.0.0.1:2", &case.pki);
        let refused = refused.expect_err(text).to_string();
        assert!(refused.contains(part), "{text}: {refused}");
        assert_eq!(std::fs::read_to_string(shared.path()).unwrap(), text);
    }
}

#[test]
fn own_file_is_that_of_any_release() {
    let case = Case::new();
    let own = case.own();
    let former = "apiVersion: v1\nkind: Config\nclusters:\n- name: ark\n  cluster: {server: a}\n\
                  users:\n- name: ark-admin\n  user: {}\ncontexts:\n- name: ark\n  \
                  context: {cluster: ark, user: ark-admin}\ncurrent-context: ark\n";
    std::fs::write(own.path(), former).unwrap();
    assert!(own.write("https://127.0.0.1:1", &case.pki).unwrap());
    let after = parsed(&own);
    assert_eq!(
        after["clusters"][0]["cluster"]["server"],
        "https://127.0.0.1:1"
    );
    assert_eq!(after["clusters"].as_array().unwrap().len(), 1);
    let user = &after["users"][0]["user"];
    let key = STANDARD.decode(user["client-key-data"].as_str().unwrap());
    assert_eq!(key.unwrap(), case.pki.admin_key_pem.as_bytes());
}

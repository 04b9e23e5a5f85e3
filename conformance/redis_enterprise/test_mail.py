"""Mail about alerts, exports and imports, as a real mail server gets it."""

import datetime
import email
import email.policy
import ipaddress
import socket
import ssl
import time

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support import invariants, wait
from support.api import USER
from support.pilothouse import Pilothouse, free_port

# Logins in the clear are what one of the modes is about.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

LOGIN, PASSWORD = "postmaster", "Hush-hush-of-the-mail-server"
# An evaluation every five seconds, of samples that are up to five seconds old, and a moment for the mail.
SECONDS = 30
# One that holds of a database that nobody uses.
ALERT = "bdb_low_throughput"


class MailServer(Controller):
    """A mail server of one's own at 127.0.0.1, from the beginning to the end of a block. Demands a login."""

    def __init__(self, port=None, tls=None, mode="none", answer="250 OK"):
        self.letters, self.answer = [], answer
        more = {"none": {"auth_require_tls": False}, "starttls": {"require_starttls": True, "tls_context": tls}, "tls": {"ssl_context": tls}}[mode]
        if mode == "tls":
            # What is wrapped from the start is not known to the dialogue.
            more["auth_require_tls"] = False
        super().__init__(self, hostname="127.0.0.1", port=port or free_port(), auth_required=True, authenticator=self.check, **more)

    @staticmethod
    def check(server, session, envelope, mechanism, login):
        given = (login.login, login.password) == (LOGIN.encode(), PASSWORD.encode())
        return AuthResult(success=given, handled=False)

    def _trigger_server(self):
        # The original greets itself with the context of a server, which Python does not take for a client's.
        with socket.create_connection((self.hostname, self.port), 5) as client:
            if self.ssl_context:
                stranger = ssl.create_default_context()
                stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
                client = stranger.wrap_socket(client)
            client.recv(100)
            client.close()

    async def handle_DATA(self, server, session, envelope):
        if self.answer.startswith("250"):
            letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert envelope.rcpt_tos == [letter["To"]] and envelope.mail_from in letter["From"]
            self.letters.append(letter)
        return self.answer

    def about(self, alert, reader=None):
        """Letters about an alert, to one reader or all; this machine may give reason for others."""
        return [letter for letter in self.letters if alert in body(letter) and letter["To"] == (reader or letter["To"])]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.stop()


def certificate(folder):
    """A certificate for 127.0.0.1 that trusts itself: the path of its file, and a context that shows it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail server of a test")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "mail.crt", folder / "mail.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    return files[0], context


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def pilothouse(tls):
    """One that trusts the certificate of the mail server, and tells of every attempt."""
    log = "info,pilothouse_api_redis_enterprise::mail=debug"
    with Pilothouse(SSL_CERT_FILE=str(tls[0]), PILOTHOUSE_SERVER__LOG=log) as pilothouse:
        pilothouse.start()
        pilothouse.api.bootstrap()
        yield pilothouse


@pytest.fixture
def exports(pilothouse):
    """A directory that servers may write to."""
    folder = pilothouse.home / "exports"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    return folder


def configure(api, port, mode="none", **more):
    shown = api.put("/v1/cluster", {
        "email_alerts": True, "email_from": "Databases <databases@conformance.local>", "smtp_host": "127.0.0.1", "smtp_port": port,
        "smtp_tls_mode": mode, "smtp_username": LOGIN, "smtp_password": PASSWORD, **more,
    })
    assert PASSWORD not in str(shown)


def user(api, address, **wishes):
    made = api.post("/v1/users", {"email": address, "name": address, "password": "Reader-1!", **{"role": "db_viewer", **wishes}})
    return made["uid"]


def alert_below(api, uid, operations):
    """Switches the alert on; below 5 it holds of an idle database, below 0 of none."""
    api.post(f"/v1/bdbs/alerts/{uid}", {ALERT: {"enabled": True, "threshold": str(operations)}})


def holds(api, uid):
    return api.get(f"/v1/bdbs/alerts/{uid}/{ALERT}")["state"]


def failures(api):
    return [line for line in api.get("/v1/logs?limit=1000") if line["type"] == "mail_failed"]


def body(letter):
    return letter.get_content()


def test_a_database_and_who_asked_for_it(pilothouse, api):
    bdb, silent = api.create("mailed", email_alerts=True), api.create("silent")
    user(api, "all@readers.local", email_alerts=True, bdbs_email_alerts=["all"])
    user(api, "one@readers.local", email_alerts=True, bdbs_email_alerts=[str(bdb["uid"])])
    user(api, "other@readers.local", email_alerts=True, bdbs_email_alerts=[str(silent["uid"])])
    user(api, "cluster@readers.local", email_alerts=True, cluster_email_alerts=True)
    user(api, "off@readers.local", email_alerts=False, bdbs_email_alerts=["all"], cluster_email_alerts=True)
    with MailServer() as mail:
        configure(api, mail.port)
        alert_below(api, silent["uid"], 5)
        alert_below(api, bdb["uid"], 5)
        wait.until("two letters", lambda: len(mail.about(ALERT)) == 2, SECONDS)
        for reader in ("all@readers.local", "one@readers.local"):
            (letter,) = mail.about(ALERT, reader)
            assert letter["From"] == "Databases <databases@conformance.local>"
            assert letter["Subject"] == f"[conformance.local] Alert: low throughput, database mailed (uid {bdb['uid']})"
            assert letter["Message-ID"] and letter["Date"] and letter["Auto-Submitted"] == "auto-generated"
            lines = body(letter).splitlines()
            assert {f"Alert: {ALERT}", "Severity: WARNING", "Threshold: 5"} <= set(lines), body(letter)
            # What was done to make the database may still count.
            (value,) = [float(line.removeprefix("Value: ")) for line in lines if line.startswith("Value: ")]
            assert value < 5, body(letter)
        # The end of it is mailed too.
        alert_below(api, bdb["uid"], 0)
        wait.until("two more letters", lambda: len(mail.about(ALERT)) == 4, SECONDS)
        for letter in mail.about(ALERT)[2:]:
            assert "Over: low throughput" in letter["Subject"] and "no longer holds" in body(letter)
        # The log tells of the database that wants no mail, so that it was not merely late.
        told = [line["type"] for line in api.get("/v1/logs?limit=1000") if line.get("bdb_uid") == silent["uid"]]
        assert "low_throughput" in told
    assert not failures(api)
    invariants.no_secrets_in_log(pilothouse, PASSWORD)


@pytest.mark.parametrize("mode, name, told", [
    ("starttls", "cluster_too_few_nodes_for_replication", "too few nodes for replication, cluster"),
    ("tls", "node_memory", "memory, node 1"),
])
def test_cluster_and_nodes_with_tls(pilothouse, api, tls, mode, name, told):
    reader = f"{mode}@readers.local"
    user(api, reader, email_alerts=True, cluster_email_alerts=True)
    with MailServer(mode=mode, tls=tls[1]) as mail:
        configure(api, mail.port, mode)
        api.put("/v1/cluster", {"alert_settings": {name: True if name.startswith("cluster_") else {"enabled": True, "threshold": "0.1"}}})
        wait.until("a letter", lambda: mail.about(name, reader), SECONDS)
        (letter,) = mail.about(name, reader)
        assert letter["Subject"] == f"[conformance.local] Alert: {told}"
        assert not mail.about(name, "one@readers.local") and not mail.about(name, "off@readers.local")
        api.put("/v1/cluster", {"alert_settings": {name: False if name.startswith("cluster_") else {"enabled": False}}})


def test_a_mail_server_that_is_away_is_tried_again(pilothouse, api):
    bdb = api.create("patient", email_alerts=True)
    reader = "patient@readers.local"
    user(api, reader, email_alerts=True, bdbs_email_alerts=[str(bdb["uid"])])
    port = free_port()
    configure(api, port)
    alert_below(api, bdb["uid"], 5)
    wait.until("the alert holds", lambda: holds(api, bdb["uid"]), SECONDS)
    # Alerts are judged on while the letter waits.
    alert_below(api, bdb["uid"], 0)
    wait.until("it is over", lambda: not holds(api, bdb["uid"]), SECONDS)
    with MailServer(port=port) as mail:
        wait.until("both letters", lambda: len(mail.about(ALERT, reader)) == 2, SECONDS)
    assert not failures(api)


def test_mail_that_waits_outlives_a_crash(pilothouse, api, exports):
    bdb = api.create("durable", email_alerts=True)
    reader = "durable@readers.local"
    user(api, reader, email_alerts=True, bdbs_email_alerts=[str(bdb["uid"])])
    port = free_port()
    configure(api, port)
    alert_below(api, bdb["uid"], 5)
    wait.until("the log tells it", lambda: [line for line in api.get("/v1/logs?limit=1000") if line["type"] == "low_throughput" and line.get("bdb_uid") == bdb["uid"]], SECONDS)
    pilothouse.restart()
    with MailServer(port=port) as mail:
        wait.until("the letter", lambda: mail.about(ALERT, reader), SECONDS)
        pilothouse.restart()
        # What was sent is not sent again: what is posted later comes alone.
        location = {"type": "mount_point", "path": str(exports)}
        api.post(f"/v1/bdbs/{bdb['uid']}/actions/export", {"export_location": location, "email_notification": True})
        wait.until("the next letter", lambda: [letter for letter in mail.letters if letter["To"] == USER], SECONDS)
        assert len(mail.about(ALERT, reader)) == 1


def test_who_asks_for_it_is_told_how_an_export_or_import_ends(pilothouse, api, exports):
    user(api, "asks@readers.local", role="admin")
    asking = api.as_user("asks@readers.local", "Reader-1!")
    bdb = api.create("travels")
    uid = bdb["uid"]
    pilothouse.client(bdb).set("key", "value")
    location = {"type": "mount_point", "path": str(exports)}
    with MailServer() as mail:
        configure(api, mail.port)

        def told(title):
            return [letter for letter in mail.letters if letter["Subject"] == f"[conformance.local] {title}: database travels (uid {uid})"]

        def act(action, body):
            api.action(asking.post(f"/v1/bdbs/{uid}/actions/{action}", body)["action_uid"], SECONDS)

        act("export", {"export_location": location})
        act("export", {"export_location": location, "email_notification": True})
        (letter,) = wait.until("a letter", lambda: told("Export succeeded"), SECONDS)
        assert letter["To"] == "asks@readers.local" and "you asked for it" in body(letter)
        (file, *_) = exports.iterdir()
        act("import", {"dataset_import_sources": [{"type": "mount_point", "path": str(file)}], "email_notification": True})
        wait.until("a letter", lambda: told("Import succeeded"), SECONDS)
        (exports / "broken.rdb").write_bytes(b"REDIS0009 and nothing of it is true")
        (exports / "broken.rdb").chmod(0o644)
        act("import", {"dataset_import_sources": [{"type": "mount_point", "path": str(exports / "broken.rdb")}], "email_notification": True})
        (letter,) = wait.until("a letter", lambda: told("Import failed"), SECONDS)
        assert "Reason: " in body(letter)
        assert len(told("Export succeeded")) == len(told("Import succeeded")) == 1


def test_the_end_of_an_export_is_told_after_a_crash(pilothouse, api, exports):
    uid = api.create("interrupted")["uid"]
    user(api, "after@readers.local", role="admin")
    asking = api.as_user("after@readers.local", "Reader-1!")
    with MailServer() as mail:
        configure(api, mail.port)
        asking.post(f"/v1/bdbs/{uid}/actions/export", {
            "export_location": {"type": "mount_point", "path": str(exports)}, "email_notification": True})
        pilothouse.restart()
        wait.until("a letter", lambda: [letter for letter in mail.letters if letter["To"] == "after@readers.local"], SECONDS)


@pytest.mark.parametrize("fault, reason", [("refused", "550"), ("login", "535"), ("starttls", "STARTTLS")])
def test_a_mail_that_is_refused_is_told_once(pilothouse, api, fault, reason):
    bdb = api.create(f"fault-{fault}", email_alerts=True)
    user(api, f"{fault}@refused.local", email_alerts=True, bdbs_email_alerts=[str(bdb["uid"])])
    with MailServer(answer="550 not for us" if fault == "refused" else "250 OK") as mail:
        configure(api, mail.port, "starttls" if fault == "starttls" else "none", smtp_password="wrong" if fault == "login" else PASSWORD)
        alert_below(api, bdb["uid"], 5)

        def told():
            return [line for line in failures(api) if f"to {fault}@refused.local" in line["description"]]

        (line,) = wait.until("the log tells it", told, SECONDS)
        assert line["bdb_uid"] == bdb["uid"] and reason in line["description"] and line["severity"] == "WARNING", line
        # Long enough for a second attempt, had there been one.
        time.sleep(3)
        assert len(told()) == 1 and not mail.about(ALERT, f"{fault}@refused.local")
    warned = [line for line in pilothouse.log().splitlines() if "cannot be sent" in line and f"{fault}@refused.local" in line]
    assert len(warned) == 1, warned
    invariants.no_secrets_in_log(pilothouse, PASSWORD)


def test_a_server_that_nobody_vouches_for_gets_nothing(pilothouse, api, tmp_path):
    bdb, reader = api.create("wary", email_alerts=True), "wary@readers.local"
    user(api, reader, email_alerts=True, bdbs_email_alerts=[str(bdb["uid"])])
    before = len(pilothouse.log())
    with MailServer(mode="tls", tls=certificate(tmp_path)[1]) as mail:
        configure(api, mail.port, "tls")
        alert_below(api, bdb["uid"], 5)

        def tried():
            return [line for line in pilothouse.log()[before:].splitlines() if "not sent yet" in line and "certificate" in line]

        wait.until("an attempt that fails", tried, SECONDS)
        assert not mail.letters
    api.put("/v1/cluster", {"email_alerts": False})
    invariants.no_secrets_in_log(pilothouse, PASSWORD)


def test_a_sender_that_is_no_address_is_refused(api):
    api.expect(406, "PUT", "/v1/cluster", {"email_from": "nobody"}, code="invalid_configuration")

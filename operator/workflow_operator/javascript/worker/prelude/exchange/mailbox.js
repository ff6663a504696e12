// The exchange with realms.py: a text is an element of a list that nobody else sees. It has no prototype, so that nothing
// that the script changes is looked up.
const TELL = 1, ASK = 2, MEASURE = 3; // realms.py puts its functions there
const mailbox = bareList();
mailbox[0] = mailbox[TELL] = mailbox[ASK] = mailbox[MEASURE] = undefined;
mailbox[4] = rejection;

const connect = () => mailbox;

function send(operation, message) {
  mailbox[0] = message;
  mailbox[operation]();
}

const received = () => mailbox[0];

// Bytes of UTF-8.
function measure(string) {
  mailbox[0] = string;
  mailbox[MEASURE]();
  return number(mailbox[0]);
}

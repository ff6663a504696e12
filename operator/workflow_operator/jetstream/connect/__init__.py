"""The connection to NATS: logins, requests and their answers, refusals told apart, a server of one's own."""

import assert from "node:assert/strict";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { DEFAULT_PORT, formatAddress, parseAddress } from "../../src/link/address.ts";

Deno.test("addresses that are read", () => {
  const cases: Array<[string, string, number]> = [
    ["127.0.0.1:22000", "127.0.0.1", 22000],
    ["0.0.0.0:0", "0.0.0.0", 0],
    ["[::1]:22000", "::1", 22000],
    ["[::]:0", "::", 0],
    ["[fe80::1%eth0]:1", "fe80::1%eth0", 1],
    ["[::1]", "::1", DEFAULT_PORT],
    ["laptop", "laptop", DEFAULT_PORT],
    ["my_nas.home.arpa.:65535", "my_nas.home.arpa.", 65535],
    ["a-b.example:1", "a-b.example", 1],
  ];
  for (const [text, host, port] of cases) {
    assert.deepEqual(parseAddress(text), { host, port }, text);
    assert.deepEqual(parseAddress(formatAddress({ host, port })), { host, port }, text);
  }
});

Deno.test("addresses that are refused, with the text and the reason", () => {
  const cases: Array<[string, string]> = [
    ["", "host is missing"],
    [":22600", "host is missing"],
    ["::1", "[::1]:22600"],
    ["fe80::1:22600", "brackets"],
    ["[::1", "[::1]:22600"],
    ["[::1]x", "[::1]:22600"],
    ["[example.org]:1", "not an IPv6"],
    ["[]:1", "not an IPv6"],
    ["host:", "not a port"],
    ["host:65536", "0 to 65535"],
    ["host:-1", "not a port"],
    ["host:1e3", "not a port"],
    ["host:22 ", "not a port"],
    ["host:1:2", "more than one colon"],
    ["256.1.1.1:1", "not an IPv4"],
    ["1.2.3:1", "not an IPv4"],
    ["https://host:1", "not a URL"],
    ["-host:1", "not a host name"],
    ["a..b:1", "not a host name"],
    ["a b:1", "not a host name"],
    ["a/b:1", "not a host name"],
    [`${"x".repeat(64)}:1`, "not a host name"],
  ];
  for (const [text, words] of cases) {
    assert.throws(() => parseAddress(text), (error) => {
      assert(error instanceof MirrorError, text);
      assert.equal(error.code, "wrong_usage");
      assert(error.message.includes(JSON.stringify(text)), error.message);
      assert(error.message.includes(words), `${text}: ${error.message}`);
      return true;
    }, text);
  }
});

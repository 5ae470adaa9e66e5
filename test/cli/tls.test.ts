import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Authority,
  type CertificatePair,
  hasOpenssl,
  newAuthority,
  SKIPPED_WITHOUT_OPENSSL,
} from "../support/certificates.ts";
import { hasCurl } from "../support/curl.ts";
import { spawnServe } from "../support/process.ts";
import { startService, type TestService } from "../support/service.ts";
import { promptd } from "./promptd.ts";

describe.skipIf(!hasOpenssl)(`the command line with TLS${SKIPPED_WITHOUT_OPENSSL}`, () => {
  let folder: string;
  let authority: Authority;
  let server: CertificatePair;
  let client: CertificatePair;
  let open: TestService;
  let mutual: TestService;
  let plain: TestService;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "promptd cli tls "));
    authority = newAuthority(folder);
    server = authority.issue("server", "/CN=promptd");
    client = authority.issue("client", "/O=Acme/CN=checkout");
    const tls = { PROMPTD_TLS_CERT: server.cert, PROMPTD_TLS_KEY: server.key };
    open = await startService(tls);
    mutual = await startService({ ...tls, PROMPTD_TLS_CLIENT_CA: authority.cert });
    plain = await startService();
  });

  afterAll(async () => {
    await Promise.all([open, mutual, plain].map((service) => service.close()));
    rmSync(folder, { recursive: true });
  });

  const list = (service: TestService, args: string[] = [], env: Record<string, string> = {}) =>
    promptd(["list", "--address", `localhost:${service.grpcPort}`, ...args], { env });

  const https = (service: TestService) => [`--address`, `https://localhost:${service.grpcPort}`];

  const http = (service: TestService) => [`--address`, `http://localhost:${service.grpcPort}`];

  it("trusts a CA by option, by environment, and the service's certificate itself", async () => {
    expect(await list(open, ["--ca-cert", authority.cert])).toMatchObject({ code: 0 });
    expect(await list(open, [], { PROMPTD_CA_CERT: authority.cert })).toMatchObject({ code: 0 });
    expect(await list(open, ["--ca-cert", server.cert])).toMatchObject({ code: 0 });
  });

  it("is the key of the certificate that it shows", async () => {
    const shown = ["--ca-cert", authority.cert, "--client-cert", client.cert];
    const made = await promptd(
      "keys create checkout --scope read --certificate-subject CN=checkout,O=Acme --data-dir"
        .split(" ")
        .concat(mutual.dataDir),
    );
    expect(made.code).toBe(0);
    expect(await list(mutual, [...shown, "--client-key", client.key])).toMatchObject({ code: 0 });
    const env = {
      PROMPTD_CA_CERT: authority.cert,
      PROMPTD_CLIENT_CERT: client.cert,
      PROMPTD_CLIENT_KEY: client.key,
    };
    expect(await list(mutual, [], env)).toMatchObject({ code: 0 });
    const refused = await promptd(["create", "p", "-", ...https(mutual)], { env, stdin: "text" });
    expect(refused).toMatchObject({ code: 6, err: "promptd: this key lacks the scope write\n" });
    const other = authority.issue("other", "/CN=other");
    const stranger = { PROMPTD_CLIENT_CERT: other.cert, PROMPTD_CLIENT_KEY: other.key };
    expect(await list(mutual, [], { ...env, ...stranger })).toMatchObject({
      code: 6,
      err: expect.stringContaining("the certificate's subject CN=other is not valid"),
    });
  });

  it("tells what to do where TLS fails", async () => {
    const known = ["--ca-cert", authority.cert];
    const pair = ({ cert, key }: CertificatePair) => ["--client-cert", cert, "--client-key", key];
    const stranger = newAuthority(folder, "stranger").issue("strange", "/CN=checkout");
    const cases: [ended: Promise<{ code: number; err: string }>, code: number, message: string][] =
      [
        [list(open, https(open)), 5, "is not trusted"],
        [list(open, https(open)), 5, "name the CA that signed it by --ca-cert"],
        [list(open), 5, "does it speak TLS (--ca-cert)"],
        [list(plain, known), 5, "it does not speak TLS; use http://"],
        [list(mutual, known), 5, "name yours by --client-cert and --client-key"],
        [
          list(mutual, [...known, ...pair(stranger)]),
          5,
          "know another CA than that of your --client-cert",
        ],
        [list(open, ["--ca-cert", join(folder, "none")]), 1, "none: it does not exist"],
        [list(open, ["--ca-cert", server.key]), 1, `${server.key}: cannot be used for TLS`],
        [list(open, pair({ ...client, key: server.key })), 1, "key values mismatch"],
        [list(open, ["--client-cert", client.cert]), 2, "--client-key: a certificate and its key"],
        [list(open, [], { PROMPTD_CLIENT_KEY: "key" }), 2, "--client-cert: a certificate and its"],
        [list(plain, [...http(plain), ...known]), 2, "--address: http:// goes without TLS"],
        [list(plain, [...http(plain), ...pair(client)]), 2, "--address: http:// goes without"],
        [
          list(plain, http(plain), { PROMPTD_CA_CERT: authority.cert }),
          2,
          "--address: http:// goes without TLS, for which files are named; expected https://",
        ],
        [
          promptd(["list", ...known], { env: { PROMPTD_ADDRESS: http(plain)[1] ?? "" } }),
          2,
          "PROMPTD_ADDRESS: http:// goes without TLS",
        ],
      ];
    for (const [ended, code, message] of cases) {
      const { err, ...rest } = await ended;
      expect(err).toContain(message);
      expect(rest.code).toBe(code);
    }
    const elsewhere = authority.issue("elsewhere", "/CN=x", { names: "DNS:promptd.example" });
    const misnamed = await startService({
      PROMPTD_TLS_CERT: elsewhere.cert,
      PROMPTD_TLS_KEY: elsewhere.key,
    });
    const { err, code } = await list(misnamed, known);
    await misnamed.close();
    expect(err).toContain("call it by one that the certificate has");
    expect(code).toBe(5);
  });

  it("serves, and tells calls that can be pasted", async () => {
    const dataDir = mkdtempSync(join(folder, "data-"));
    const env = {
      PROMPTD_DATA_DIR: dataDir,
      PROMPTD_TLS_CERT: server.cert,
      PROMPTD_TLS_KEY: server.key,
      PROMPTD_SHUTDOWN_GRACE: "0s",
    };
    const child = spawnServe(["--seed-dir", "prompts"], env);
    try {
      const [text] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
      if (hasCurl) {
        const curl = text.match(/^ {2}(curl .*)$/m)?.[1] ?? "";
        const { stdout } = await promisify(execFile)("sh", ["-c", `${curl} --silent`]);
        expect(JSON.parse(stdout)).toMatchObject({ prompt: { name: "support/reply" } });
      }
      const [, command = "", file] = text.match(/^ {2}npx promptd (.*) '(.*)'$/m) ?? [];
      expect(file).toBe(server.cert);
      const got = await promptd([...command.split(" "), server.cert]);
      expect(got).toMatchObject({ code: 0, out: expect.stringContaining("[system]") });
      expect(text).toMatch(/^ {2}grpcurl -cacert '.*' -d .* 127\.0\.0\.1:\d+ promptd/m);
    } finally {
      child.kill();
      await once(child, "exit");
    }
  });

  it("does not serve with files that cannot be used", async () => {
    const file = join(folder, "empty.pem");
    writeFileSync(file, "");
    const serve = (cert: string, key: string) =>
      promptd(["serve", "--log-level", "silent", "--tls-cert", cert, "--tls-key", key]);
    expect(await serve(join(folder, "none.pem"), server.key)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^promptd: PROMPTD_TLS_CERT: cannot read .*none\.pem: ENOENT/),
    });
    expect(await serve(server.cert, file)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^promptd: PROMPTD_TLS_KEY: expected a private key .*empty\.pem/),
    });
  });
});

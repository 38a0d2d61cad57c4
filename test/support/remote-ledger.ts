/** A ledger in the database and the object store of a laboratory, as a server is configured with it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { createTestS3Client, type RemoteLab } from "../../server/store/log-place.test.support.ts";
import { S3LogReader } from "../../server/store/s3-objects.ts";
import type { RemoteLedger } from "./crash-campaign.ts";

let prefixes = 0;

/** A ledger in the laboratory that was never used; those of campaigns before are forgotten. */
export async function createRemoteLedger(lab: RemoteLab): Promise<RemoteLedger & { remove(): void }> {
  const admin = new Client({ ...lab.postgres, user: lab.postgres.admin });
  await admin.connect();
  // Campaigns are of one trust domain, and so of one log.
  await admin.query("delete from trustwarden_ledger.wal; delete from trustwarden_ledger.log");
  await admin.end();
  prefixes += 1;
  const { accessKeyId, secretAccessKey, ...objects } = lab.objects;
  const directory = mkdtempSync(join(tmpdir(), "ledger-credentials-"));
  const credentialsFile = join(directory, "objects.json");
  const credentials = { Version: 1, AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey };
  writeFileSync(credentialsFile, JSON.stringify(credentials), { mode: 0o600 });
  const { host, port, database, user } = lab.postgres;
  const prefix = `${process.pid}-${prefixes}/`;
  return {
    settings: {
      storage: "postgres",
      postgres: { host, port, database, user },
      objects: { ...objects, prefix, credentialsFile },
    },
    reader: new S3LogReader(createTestS3Client({ ...lab, prefix })),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

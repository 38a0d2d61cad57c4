/**
 * A corpus of what agents' machines really hold: each file in the form that its program writes, each value made when asked for.
 *
 * What `hide` gives back has to be found; everything else in a file has to be left alone.
 */
import { createKey } from "../scan.test.support.ts";

export interface Sample {
  readonly path: string;
  readonly text: string;
  readonly secrets: readonly string[];
}

const opaque = (seed: number): string => createKey("opaque", seed);
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const ref = (name: string): string => `$\{${name}}`;

/** A sample whose lines were made with `hide`. */
function sample(path: string, write: (hide: (value: string) => string) => readonly string[]): Sample {
  const secrets: string[] = [];
  const lines = write((value) => {
    secrets.push(value);
    return value;
  });
  return { path, text: `${lines.join("\n")}\n`, secrets };
}

/** Files with secrets among what only looks like one. */
export const LEAKS: readonly Sample[] = [
  sample(".codex/config.toml", (hide) => [
    'model = "gpt-5"',
    "[mcp_servers.search]",
    'url = "https://mcp.search.test/mcp"',
    'bearer_token_env_var = "SEARCH_TOKEN"',
    `http_headers = { "X-Api-Key" = "${hide(opaque(11))}", Accept = "application/json" }`,
    "[mcp_servers.files.env]",
    `FILES_API_TOKEN = "${hide(opaque(12))}"`,
    'LOG_LEVEL = "debug"',
    "max_tokens = 4096",
  ]),
  sample(".continue/config.yaml", (hide) => [
    "models:",
    "  - name: local",
    "    model: mistral-large",
    `    apiKey: ${hide(opaque(13))} # mine`,
    `    otherKey: ${ref("KEY")}`,
    "  - name: remote",
    `    apiKey: ${"$"}{{ secrets.REMOTE_KEY }}`,
  ]),
  sample(".cursor/mcp.json", (hide) => [
    '{"mcpServers": {',
    `"zap": {"url": "https://mcp.zap.test/api/v1/s/${hide(opaque(14))}/mcp"},`,
    `"tool": {"command": "npx", "args": ["-y", "@acme/tool", "--api-key", "${hide(opaque(15))}", "--mode", "read"]},`,
    `"plain": {"url": "https://mcp.plain.test/teams/0b6e1e0a-6a1f-4f57-9c8f-2a52f6a3b9c1/mcp"},`,
    `"query": {"url": "https://mcp.query.test/mcp?profile=work&api_key=${hide(opaque(16))}"}}}`,
  ]),
  sample(".vscode/mcp.json", (hide) => [
    "{ // servers of the workspace",
    '  "inputs": [{"type": "promptString", "id": "key", "password": true}],',
    '  "servers": {"a": {"command": "a", "env": {"API_KEY": "$' +
      '{input:key}", ' +
      `"OTHER_TOKEN": "${hide(opaque(17))}"}}}`,
    "}",
  ]),
  sample(".claude.json", (hide) => [
    `{"mcpServers": {"x": {"type": "http", "url": "https://x.test/mcp", "headers": {"Authorization": "Bearer ${hide(opaque(18))}"}}},`,
    '"oauthAccount": {"accountUuid": "7b1e4e1c-0a55-4f0e-9d55-0d6a5d1f4a11"}, "numStartups": 41}',
  ]),
  sample(".openclaw/openclaw.json", (hide) => [
    `{ models: { providers: { custom: { baseUrl: "https://llm.shop.test/v1", apiKey: "${hide(opaque(19))}" } } },`,
    `  channels: { discord: { token: "${hide(opaque(20))}" }, slack: { botToken: "${ref("SLACK")}" } } }`,
  ]),
  sample("app/.env.production", (hide) => [
    "\u{feff}# production",
    `OPENAI_API_KEY='${hide(createKey("openai"))}'\r`,
    `export STRIPE_SECRET_KEY=${hide(createKey("stripe"))}`,
    `REDIS_URL=redis://:${hide(opaque(21))}@cache.test:6379/0`,
    `MONGO_URL=mongodb+srv://shop:${hide(opaque(22))}@cluster0.test/shop?retryWrites=true`,
    "NEXT_PUBLIC_URL=https://shop.test",
    "TOKEN_LIMIT=100000",
    "SESSION_SECRET_FILE=/run/secrets/session",
    `SMTP_PASSWORD="${hide("p4ss word with spaces")}"`,
    "PGPASSWORD=",
  ]),
  sample("app/.envrc", (hide) => [
    "use flake",
    `export GH_TOKEN=${hide(createKey("github"))}`,
    "export NPM_TOKEN=$(pass show npm)",
  ]),
  sample("app/docker-compose.yml", (hide) => [
    "services:",
    "  db:",
    "    image: postgres:18",
    "    environment:",
    `      POSTGRES_PASSWORD: ${hide(opaque(23))}`,
    "      POSTGRES_USER: shop",
    `      PGOPTIONS_TOKEN: ${ref("PG_TOKEN:-none")}`,
    "      POSTGRES_PASSWORD_FILE: /run/secrets/db",
    "  web:",
    "    environment:",
    `      - "API_TOKEN=${hide(opaque(24))}"`,
    "      - LOG_LEVEL=info",
    `      - SECRET_KEY=${ref("SECRET_KEY")}`,
    "secrets:",
    "  db:",
    "    file: ./db.txt",
  ]),
  sample("app/k8s/secret.yaml", (hide) => [
    "apiVersion: v1",
    "kind: Secret",
    "metadata:",
    "  name: shop",
    "type: Opaque",
    "data:",
    `  database: ${hide(base64("hunter2hunter2hunter2"))}`.replace("database:", "dsn:"),
    `  username: ${base64("shop-service")}`,
    "stringData:",
    `  signing: "${hide(opaque(25))}"`,
    "---",
    "apiVersion: v1",
    "kind: ConfigMap",
    "data:",
    "  greeting: aGVsbG8gd29ybGQgaGVsbG8=",
    "---",
    "apiVersion: apps/v1",
    "kind: Deployment",
    "spec:",
    "  template:",
    "    spec:",
    "      containers:",
    "        - env:",
    "            - name: API_TOKEN",
    `              value: ${hide(opaque(26))}`,
    "            - name: OTHER_TOKEN",
    "              valueFrom:",
    "                secretKeyRef:",
    "                  name: other",
    "                  key: token",
    "      imagePullSecrets: [{name: registry}]",
  ]),
  sample(".npmrc", (hide) => [
    "registry=https://npm.shop.test/",
    `//npm.shop.test/:_authToken=${hide(opaque(27))}`,
    `//old.shop.test/:_auth=${hide(base64(`ci:${opaque(28)}`))}`,
    `//env.shop.test/:_authToken=${ref("NPM_TOKEN")}`,
    "always-auth=true",
  ]),
  sample(".netrc", (hide) => [
    "machine git.shop.test login alice",
    `  password ${hide(opaque(29))}`,
    `machine b.test login bob password ${hide(opaque(30))}`,
  ]),
  sample(".config/pip/pip.conf", (hide) => [
    "[global]",
    `index-url = https://alice:${hide(opaque(31))}@pypi.shop.test/simple`,
    "extra-index-url = https://pypi.org/simple",
    "timeout = 60",
  ]),
  sample(".pypirc", (hide) => [
    "[distutils]",
    "index-servers = shop",
    "[shop]",
    "username: alice".replace(":", " ="),
    `password = ${hide(opaque(32))}`,
  ]),
  sample(".git-credentials", (hide) => [`https://alice:${hide(opaque(33))}@git.shop.test`]),
  sample("app/.git/config", (hide) => [
    '[remote "origin"]',
    `\turl = https://oauth2:${hide(opaque(34))}@git.shop.test/shop/app.git`,
    "\tfetch = +refs/heads/*:refs/remotes/origin/*",
    '[remote "bare"]',
    `\turl = https://${hide(opaque(35))}@git.shop.test/shop/app.git`,
    '[remote "ssh"]',
    "\turl = ssh://git@git.shop.test:2222/shop/app.git",
    '[http "https://git.shop.test/"]',
    `\textraheader = AUTHORIZATION: basic ${hide(base64(`x:${opaque(36)}`))}`,
  ]),
  sample(".aws/credentials", (hide) => [
    "[default]",
    `aws_access_key_id = ${hide(createKey("aws"))}`,
    `aws_secret_access_key = ${hide(createKey("opaque", 37) + createKey("opaque", 38).slice(0, 8))}`,
    "region = eu-central-1",
  ]),
  sample(".docker/config.json", (hide) => [
    `{"auths": {"registry.shop.test": {"auth": "${hide(base64(`ci:${opaque(39)}`))}"}}, "credsStore": "desktop"}`,
  ]),
  sample(".config/gh/hosts.yml", (hide) => [
    "github.com:",
    "    user: alice",
    `    oauth_token: ${hide(createKey("github", 2))}`,
    "    git_protocol: https",
  ]),
  sample("work/train.ipynb", (hide) => [
    '{"cells": [{"cell_type": "code", "outputs": [{"data": {"image/png": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"}}],',
    `"source": ["import os\\n", "os.environ[\\"WEATHER_API_KEY\\"] = \\"${hide(opaque(40))}\\"\\n",`,
    `"client = Client(api_key='${hide(opaque(41))}')\\n", "%env SEARCH_TOKEN=${hide(opaque(42))}\\n",`,
    '"tokenizer = load(token=\\"cl100k_base\\")\\n", "pad_token = \\"[PAD]\\"\\n", "key = os.environ[\\"API_KEY\\"]\\n"]}]}',
  ]),
  sample(".bash_history", (hide) => [
    "ls -la",
    `export SEARCH_TOKEN=${hide(opaque(43))}`,
    `curl -H "Authorization: Bearer ${hide(opaque(44))}" https://api.shop.test/v1`,
    `curl -u alice:${hide(opaque(45))} https://api.shop.test/v1`,
    `PGPASSWORD=${hide(opaque(46))} psql -h db.test`,
    `docker login registry.shop.test -u ci -p ${hide(opaque(47))}`,
    `sshpass -p '${hide(opaque(48))}' ssh host`,
    `curl 'https://api.shop.test/v1?api_key=${hide(opaque(49))}&page=2'`,
    `git clone https://alice:${hide(createKey("github", 3))}@github.com/shop/app.git`,
    "ssh -p 2222 host",
    "git checkout -b feature/token-refresh",
    "docker run -p 8080:8080 -e LOG_LEVEL=debug shop",
    "echo $OPENAI_API_KEY",
  ]),
  sample(".zsh_history", (hide) => [
    `: 1790000000:0;export SEARCH_TOKEN=${hide(opaque(50))}`,
    ": 1790000001:0;python train.py --max-tokens 4096",
  ]),
  sample(".local/share/fish/fish_history", (hide) => [
    `- cmd: set -x SEARCH_TOKEN x; warden secret put; tool --api-key ${hide(opaque(51))}`,
    "  when: 1790000000",
  ]),
  sample(".codex/history.jsonl", (hide) => [
    `{"session_id":"0b6e1e0a","ts":1790000000,"text":"use ${hide(createKey("anthropic"))} please"}`,
  ]),
  sample(".claude/.credentials.json", (hide) => [
    `{"claudeAiOauth": {"accessToken": "${hide(opaque(52))}", "refreshToken": "${hide(opaque(53))}",`,
    '"expiresAt": 1790000000000, "scopes": ["user:inference", "user:profile"], "subscriptionType": "max"},',
    `"mcpOAuth": {"search|5d0c6f2be1a9": {"serverName": "search", "serverUrl": "https://mcp.search.test/mcp", "clientId": "c1",`,
    `"clientSecret": "${hide(opaque(54))}", "accessToken": "${hide(opaque(55))}"}}}`,
  ]),
  sample(".codex/auth.json", (hide) => [
    `{"auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": {"id_token": "${hide(opaque(56))}",`,
    `"access_token": "${hide(opaque(57))}", "refresh_token": "${hide(opaque(58))}",`,
    '"account_id": "0b6e1e0a-6a1f-4f57-9c8f-2a52f6a3b9c1"}, "last_refresh": "2026-11-23T12:00:00Z"}',
  ]),
  sample(".codex/.credentials.json", (hide) => [
    '{"search|91c3e07ab24f": {"server_name": "search", "server_url": "https://mcp.search.test/mcp", "client_id": "app_7",',
    `"access_token": "${hide(opaque(59))}", "refresh_token": "${hide(opaque(60))}", "expires_at": 1790000000000, "scopes": []}}`,
  ]),
  sample(".codex/work.config.toml", (hide) => [
    "[mcp_servers.search]",
    'url = "https://mcp.search.test/mcp"',
    `http_headers = { Authorization = "Bearer ${hide(opaque(61))}" }`,
    'env_http_headers = { "X-Team" = "TEAM_TOKEN" }',
  ]),
  sample(".gemini/settings.json", (hide) => [
    '{"security": {"auth": {"selectedType": "gemini-api-key"}}, "mcpServers": {',
    `"search": {"httpUrl": "https://mcp.search.test/mcp", "headers": {"Authorization": "Bearer ${hide(opaque(62))}"}, "timeout": 5000},`,
    `"local": {"command": "uvx", "args": ["tool"], "env": {"API_KEY": "$MY_API_TOKEN", "OTHER_KEY": "x", "TOOL_API_KEY": "${hide(opaque(63))}"}}}}`,
  ]),
  sample(".gemini/.env", (hide) => [`GEMINI_API_KEY=${hide(opaque(64))}`, "GOOGLE_CLOUD_PROJECT=shop"]),
  sample(".gemini/oauth_creds.json", (hide) => [
    `{"access_token": "${hide(opaque(65))}", "scope": "https://www.googleapis.com/auth/cloud-platform openid",`,
    `"token_type": "Bearer", "id_token": "${hide(opaque(66))}", "expiry_date": 1790000000000, "refresh_token": "${hide(opaque(67))}"}`,
  ]),
  sample(".gemini/mcp-oauth-tokens.json", (hide) => [
    `[{"serverName": "search", "token": {"accessToken": "${hide(opaque(68))}", "tokenType": "Bearer", "scope": "read"}, "clientId": "c2", "updatedAt": 1790000000000}]`,
  ]),
  sample(".openclaw/agents/main/agent/auth-profiles.json", (hide) => [
    `{"version": 1, "profiles": {"shop:default": {"type": "api_key", "provider": "shop", "key": "${hide(opaque(69))}"},`,
    `"shop:login": {"type": "token", "provider": "shop", "token": "${hide(opaque(70))}"},`,
    `"shop:kept": {"type": "api_key", "provider": "shop", "keyRef": {"source": "env", "provider": "default", "id": "SHOP_API_KEY"}},`,
    `"shop:oauth": {"type": "oauth", "provider": "shop", "access": "${hide(opaque(71))}", "refresh": "${hide(opaque(72))}", "expires": 1790000000000, "email": "alice@shop.test"}}}`,
  ]),
  sample(".openclaw/credentials/oauth.json", (hide) => [
    `{"shop": {"refresh": "${hide(opaque(73))}", "access": "${hide(opaque(74))}", "expires": 1790000000000, "accountId": "0b6e1e0a-6a1f-4f57-9c8f-2a52f6a3b9c1"}}`,
  ]),
  sample(".openclaw/secrets.json", (hide) => [
    `{"providers": {"shop": {"apiKey": "${hide(opaque(75))}"}}, "channels": {"telegram": {"botToken": "${hide(`81234567:${opaque(76)}`)}"}}}`,
  ]),
  sample(".local/share/opencode/auth.json", (hide) => [
    `{"shop": {"type": "api", "key": "${hide(opaque(77))}"},`,
    `"copilot": {"type": "oauth", "refresh": "${hide(opaque(78))}", "access": "${hide(opaque(79))}", "expires": 0}}`,
  ]),
  sample(".config/goose/secrets.yaml", (hide) => [`SHOP_API_KEY: ${hide(opaque(80))}`]),
  sample(".config/github-copilot/apps.json", (hide) => [
    `{"github.com:Iv1.b507a08c87ecfe98": {"user": "alice", "oauth_token": "${hide(createKey("github", 4))}", "githubAppId": "Iv1.b507a08c87ecfe98"}}`,
  ]),
  sample(".config/Code/User/profiles/4f1c/mcp.json", (hide) => [
    `{"servers": {"search": {"type": "http", "url": "https://mcp.search.test/mcp", "headers": {"X-Api-Key": "${hide(opaque(81))}"}}}, "inputs": []}`,
  ]),
];

const plain = (path: string, lines: readonly string[]): Sample => sample(path, () => lines);

/** Files in which nothing is a secret, though much looks like one. */
export const HARMLESS: readonly Sample[] = [
  plain("clean/.gemini/settings.json", [
    '{"mcpServers": {"search": {"httpUrl": "https://mcp.search.test/mcp", "headers": {"Authorization": "Bearer $SEARCH_TOKEN"}, "oauth": {"enabled": true}}},',
    '"tools": {"core": ["ReadFile"], "access": "read-only-unless-the-user-says-2026"}, "editor": {"key": "ctrl+shift+alt+super+f12", "refresh": "2026-11-23T12:00:00.000Z"}}',
  ]),
  plain("clean/package-lock.json", [
    '{"packages": {"node_modules/a": {"version": "1.0.0", "resolved": "https://registry.shop.test/a/-/a-1.0.0.tgz",',
    '"integrity": "sha512-T3aQ1bB9v0mY7kZrj2d9wq8Wc1oQn3y6p0HkZyT1o0YgC9o8m7v6q5r4s3t2u1v0w9x8y7z6A5B4C3D2E1F0Gg=="}}}',
  ]),
  plain("clean/.github/workflows/ci.yml", [
    "permissions: { id-token: write }",
    "env:",
    `  GITHUB_TOKEN: ${"$"}{{ secrets.GITHUB_TOKEN }}`,
    "  NODE_AUTH_TOKEN: ''",
    "  CACHE_KEY: deps-v3-linux",
    "  TOKEN_URL: https://login.shop.test/token",
  ]),
  plain("clean/chart/templates/secret.yaml", [
    "apiVersion: v1",
    "kind: Secret",
    "data:",
    "  password: {{ .Values.password | b64enc }}",
    "stringData:",
    `  token: ${"$"}{TOKEN}`,
    '  other: "<your-token>"',
  ]),
  plain("clean/chart/values.yaml", [
    "existingSecret: shop-db",
    "secretName: tls-shop",
    "passwordSecretRef: {name: db, key: password}",
    "image: {pullSecrets: []}",
    "password: changeme",
    "token: string",
    "apiKey: op://Private/shop/key",
  ]),
  plain("clean/openapi.yaml", [
    "properties:",
    "  password: { type: string }",
    "  token:",
    "    description: The token of the session, sixteen characters or more",
    "    type: string",
  ]),
  plain("clean/.env.example", [
    "OPENAI_API_KEY=your-api-key-here",
    "DATABASE_URL=postgres://postgres:postgres@localhost:5432/app",
    "API_TOKEN=<token>",
    "SECRET_KEY=xxxxxxxxxxxxxxxx",
    "SESSION_ID=0b6e1e0a-6a1f-4f57-9c8f-2a52f6a3b9c1",
  ]),
  plain("clean/README.md", [
    "Set `OPENAI_API_KEY=sk-...` and open https://user:password@example.com/path.",
    "The task-manager-for-people-who-like-long-names-with-dashes is at commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b.",
    "AKIAIOSFODNN7EXAMPLE is the one of the manual.",
  ]),
  plain("clean/config.toml", [
    'token_url = "https://login.shop.test"',
    "max_output_tokens = 4096",
    'bearer_token_env_var = "TOKEN"',
    'password_command = "pass show mail"',
    `token = "${"$"}TOKEN"`,
    'secret = "vault:secret/data/shop#key"',
  ]),
  plain("clean/code.ts", [
    "interface Login { token: string; password: string; apiKey?: string }",
    "const apiKey = process.env.OPENAI_API_KEY;",
    `const url = \`postgres://${ref("user")}:${ref("password")}@${ref("host")}/db\`;`,
  ]),
  plain("clean/id.pub", [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl alice",
  ]),
  plain("clean/.cursor/mcp.json", [
    '{"mcpServers": {"docs": {"url": "https://docs.shop.test/api/documentation-and-reference-of-tools/mcp"},',
    `"local": {"command": "node", "args": ["--token", "${ref("env:TOKEN")}", "/opt/tools/server-of-the-team/index.js"], "env": {"API_KEY": "${ref("API_KEY")}"}}}}`,
  ]),
];

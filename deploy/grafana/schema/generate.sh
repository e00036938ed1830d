#!/bin/sh
# Makes the JSON schemas beside this file from the types that Grafana publishes (npm, @grafana/schema, Apache-2.0):
# deploy/grafana/schema/generate.sh
#
# The tests hold the dashboards against them. Needs node and npm.
set -eu
grafana=13.2.3
generator=2.4.0
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init --yes >/dev/null
npm install --ignore-scripts --no-audit --no-fund --silent "@grafana/schema@$grafana" "ts-json-schema-generator@$generator"
echo '{"compilerOptions": {"skipLibCheck": true, "types": []}}' >tsconfig.json

# make NAME TYPE FILE: the schema NAME.json of a type, with where it comes from.
make() {
  npx --no-install ts-json-schema-generator --no-type-check --tsconfig tsconfig.json --type "$2" \
    --path "node_modules/@grafana/schema/dist/types/raw/$3/x/types.gen.d.ts" >raw.json
  node -e 'const [comment, file, raw] = process.argv.slice(1)
    const schema = {$comment: comment, ...JSON.parse(require("fs").readFileSync(raw))}
    require("fs").writeFileSync(file, JSON.stringify(schema, null, 1) + "\n")' \
    "Made by generate.sh from the type $2 of @grafana/schema $grafana; Copyright Grafana Labs, Apache License 2.0" \
    "$here/$1.json" raw.json
}

make dashboard Dashboard dashboard
for panel in stat statetimeline timeseries; do
  make "$panel.options" Options "composable/$panel/panelcfg"
done
for panel in statetimeline timeseries; do
  make "$panel.field" FieldConfig "composable/$panel/panelcfg"
done

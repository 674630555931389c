package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// look finds out all that Open must know, and builds the statements.
func (r *Reader) look(ctx context.Context) error {
	const op = "look at the source's columns"
	text := sqlText{query: trimSQL(r.o.Query), where: trimSQL(r.o.Where)}
	return r.do(ctx, op, func(ctx context.Context, conn *pgconn.PgConn) error {
		if err := r.lookAtServer(ctx, conn); err != nil {
			return err
		}
		bare := sqlText{query: text.query}
		all := bare.build("SELECT *", nil, " LIMIT 0")
		fields, err := describe(ctx, conn, &all)
		if err != nil {
			return err
		}
		output, err := typesOf(ctx, conn, fields)
		if err != nil {
			return err
		}
		columns, problems := chooseColumns(output, &r.o)
		collations, err := r.lookAtCollations(ctx, conn, &text, columns)
		if err != nil {
			return err
		}
		if problems = append(problems, collations...); len(problems) > 0 {
			return &ConfigError{Op: op, Problems: problems}
		}
		r.output = make([]Column, len(output))
		for i, out := range output {
			r.output[i] = Column{out.name, out.typ.name}
		}
		r.useColumns(columns)
		if r.o.Shards > 1 {
			text.shard = shardCondition(r.o.Shard, r.o.Shards, len(r.keys) == 2)
		}
		r.sql = buildStatements(&text, r.columns, r.keys)
		// Now with the where. Describing finds errors and parameters, EXPLAIN also
		// checks the privileges as execution would.
		if _, err := describe(ctx, conn, &r.sql.whole); err != nil {
			return err
		}
		_, err = explainPlan(ctx, conn, &r.sql.whole)
		return err
	})
}

// useColumns sets what depends on the columns.
func (r *Reader) useColumns(columns []column) {
	r.columns, r.formats, r.keys = columns, nil, nil
	for _, c := range columns {
		format := int16(pgtype.TextFormatCode)
		if c.kind.binary() {
			format = pgtype.BinaryFormatCode
		}
		r.formats = append(r.formats, format)
		if c.field == fKey || c.field == fKey2 {
			r.keys = append(r.keys, c)
		}
	}
	for _, key := range r.keys {
		if key.folded {
			r.formats = append(r.formats, pgtype.TextFormatCode)
		}
	}
}

func (r *Reader) lookAtServer(ctx context.Context, conn *pgconn.PgConn) error {
	rows, err := query(ctx, conn, statement{text: "SELECT current_setting('server_version'), current_setting('server_version_num'), pg_is_in_recovery(), current_database(), current_user"})
	if err != nil {
		return err
	}
	row := rows[0]
	number, _ := strconv.Atoi(string(row[1]))
	r.info = Info{
		Host: r.config.Host, Port: r.config.Port,
		ServerVersion: string(row[0]), VersionNumber: number, InRecovery: string(row[2]) == "t",
		Database: string(row[3]), User: string(row[4]),
	}
	return nil
}

// describe asks the server for a statement's output columns, without running
// it, and refuses parameters, to which nothing would give a value.
func describe(ctx context.Context, conn *pgconn.PgConn, st *statement) ([]pgconn.FieldDescription, error) {
	description, err := conn.Prepare(ctx, "", st.text, nil)
	if err != nil {
		return nil, &failure{st, err}
	}
	if len(description.ParamOIDs) > 0 {
		return nil, &ConfigError{Op: "look at the source's columns", Problems: []string{
			"query or where: it has a parameter ($1), and nothing gives it a value; write the value itself"}}
	}
	return description.Fields, nil
}

// typesOf finds out what the types of these columns are.
func typesOf(ctx context.Context, conn *pgconn.PgConn, fields []pgconn.FieldDescription) ([]outputColumn, error) {
	var oids []string
	for _, f := range fields {
		oids = append(oids, strconv.FormatUint(uint64(f.DataTypeOID), 10))
	}
	rows, err := query(ctx, conn, statement{text: `
SELECT t.oid, t.typarray, pg_catalog.format_type(t.oid, NULL), t.typname, t.typcategory, coalesce(e.typcategory::text, '')
FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
WHERE t.oid = ANY($1)`}, param{pgtype.OIDArrayOID, []byte("{" + strings.Join(oids, ",") + "}")})
	if err != nil {
		return nil, err
	}
	types := map[uint32]typeInfo{}
	for _, row := range rows {
		oid, _ := strconv.ParseUint(string(row[0]), 10, 32)
		array, _ := strconv.ParseUint(string(row[1]), 10, 32)
		types[uint32(oid)] = typeInfo{
			oid: uint32(oid), arrayOID: uint32(array),
			name: string(row[2]), plainName: string(row[3]), category: string(row[4]), element: string(row[5]),
		}
	}
	output := make([]outputColumn, len(fields))
	for i, f := range fields {
		output[i] = outputColumn{name: f.Name, typ: types[f.DataTypeOID]}
	}
	return output, nil
}

// lookAtCollations lists key columns whose order does not tell different texts
// apart: a page that starts behind one would pass over its equals.
func (r *Reader) lookAtCollations(ctx context.Context, conn *pgconn.PgConn, text *sqlText, columns []column) ([]string, error) {
	if r.info.VersionNumber < 120000 { // all collations were deterministic
		return nil, nil
	}
	var problems []string
	for _, c := range columns {
		if c.field > fKey2 || !c.text {
			continue
		}
		bare := sqlText{query: text.query}
		st := bare.build(`
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname)
FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
WHERE NOT c.collisdeterministic AND pg_catalog.pg_collation_for((SELECT q."`+c.field.String()+`"`, nil, ` LIMIT 0)) COLLATE "C" IN (
  pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname),
  CASE WHEN pg_catalog.pg_collation_is_visible(c.oid) THEN pg_catalog.quote_ident(c.collname) END)
LIMIT 1`)
		rows, err := query(ctx, conn, st)
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 {
			problems = append(problems, fmt.Sprintf(
				`column %s has the nondeterministic collation %s, under which different keys count as equal and rows would be passed over. Write (...) COLLATE "C" AS %s in the query, best with an index on that`,
				c.field, rows[0][0], c.field))
		}
	}
	return problems, nil
}

// Estimate returns about how many rows the query and where select, by the
// planner's statistics and without reading them; with shards, an even share.
// Errors as of Page.
func (r *Reader) Estimate(ctx context.Context) (int64, error) {
	var rows float64
	err := r.do(ctx, "estimate the source's rows", func(ctx context.Context, conn *pgconn.PgConn) error {
		plan, err := explainPlan(ctx, conn, &r.sql.whole)
		rows = plan.Rows
		return err
	})
	if r.o.Shards > 1 {
		rows /= float64(r.o.Shards)
	}
	return int64(rows), err
}

// plan is what EXPLAIN (FORMAT JSON) tells of a node and those below it.
type plan struct {
	Node     string   `json:"Node Type"`
	Rows     float64  `json:"Plan Rows"`
	SortKey  []string `json:"Sort Key"` // "accounts.id"
	Schema   string   // of the relation that is scanned
	Relation string   `json:"Relation Name"`
	Alias    string
	Plans    []plan
}

func (p *plan) sorts() bool {
	if strings.Contains(p.Node, "Sort") {
		return true
	}
	for i := range p.Plans {
		if p.Plans[i].sorts() {
			return true
		}
	}
	return false
}

// explainPlan returns the plan of a statement, whose text may hold literals of
// the query and so is never told.
func explainPlan(ctx context.Context, conn *pgconn.PgConn, st *statement, params ...param) (plan, error) {
	const prefix = "EXPLAIN (FORMAT JSON, VERBOSE) " // which names tables and columns in full
	shifted := *st
	shifted.text = prefix + st.text
	shifted.query += len(prefix)
	if st.where > 0 {
		shifted.where += len(prefix)
	}
	rows, err := query(ctx, conn, shifted, params...)
	if err != nil {
		return plan{}, err
	}
	var plans []struct{ Plan plan }
	if err := json.Unmarshal(rows[0][0], &plans); err != nil || len(plans) == 0 {
		return plan{}, errors.New("the server's EXPLAIN cannot be understood")
	}
	return plans[0].Plan, nil
}

// param is a parameter in text format.
type param struct {
	oid   uint32
	value []byte
}

// query runs a statement with few result rows and returns them as text.
func query(ctx context.Context, conn *pgconn.PgConn, st statement, params ...param) ([][][]byte, error) {
	values, oids := split(params)
	result := conn.ExecParams(ctx, st.text, values, oids, nil, nil).Read()
	if result.Err != nil {
		return nil, &failure{&st, result.Err}
	}
	return result.Rows, nil
}

func split(params []param) (values [][]byte, oids []uint32) {
	for _, p := range params {
		values, oids = append(values, p.value), append(oids, p.oid)
	}
	return values, oids
}

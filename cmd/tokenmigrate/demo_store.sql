-- The store of the demo: the two tables of Auth.js that matter, as its Postgres
-- adapter (@auth/pg-adapter) makes them. Accounts refer to users by number and
-- without a foreign key, so that the account of a deleted user stays behind.

CREATE TABLE users (
    id              serial PRIMARY KEY,
    name            varchar(255),
    email           varchar(255),
    "emailVerified" timestamptz,
    image           text
);

CREATE TABLE accounts (
    id                  serial PRIMARY KEY,
    "userId"            integer      NOT NULL,
    type                varchar(255) NOT NULL,
    provider            varchar(255) NOT NULL,
    "providerAccountId" varchar(255) NOT NULL,
    refresh_token       text,
    access_token        text,
    expires_at          bigint,
    id_token            text,
    scope               text,
    session_state       text,
    token_type          text
);

package stores

// All returns every store, those that most teams have first. The stores are
// shared: do not change them.
func All() []*Store { return all }

// One line a store.
var all = []*Store{
	authjs,
	betterAuth,
	nodeAES,
	prismaField,
	nango,
	djangoAllauth,
	laravel,
	rails,
	discourse,
	chatwootEmail,
	chatwootHooks,
	n8n,
	activepieces,
	calcom,
	pythonSocialAuth,
	supabaseAuth,
	postiz,
	twenty,
	logto,
	openWebUI,
	keycloak,
	fernet,
	superset,
	sqlAlchemyUtils,
	windmill,
	oryKratos,
	grafana,
	nhost,
	plane,
	authentik,
}

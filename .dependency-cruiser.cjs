// Imports point one way: topology -> runtime -> {mapper, features, scorer, decisions, learner} -> expressions -> app.
const pure = (name, allowed) => ({
  name: `${name}-imports`,
  comment: `${name} may import only itself and ${allowed.join(', ') || 'nothing of ours'}`,
  severity: 'error',
  from: { path: `^processors/${name}/` },
  to: { path: '^processors/', pathNot: `^processors/(${[name, ...allowed].join('|')})/` },
})
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    pure('app', []),
    pure('expressions', ['app']),
    pure('xdm', ['app']),
    pure('mapper', ['app', 'expressions', 'xdm']),
    pure('features', ['app', 'expressions']),
    pure('onnx', []),
    // The scorer reads vectors: the types of features, not their code.
    pure('scorer', ['app', 'expressions', 'onnx', 'features(?=/types\\.ts$)']),
    // Learners are mathematics over vectors: no clock, no randomness, no I/O of their own.
    pure('learner', ['app', 'expressions', 'onnx', 'features(?=/types\\.ts$)']),
    {
      name: 'outputs-imports',
      comment: 'outputs are formats: they know the application, and the types of what they write',
      severity: 'error',
      from: { path: '^processors/outputs/' },
      to: { path: '^processors/', pathNot: '^processors/(outputs/|app/|(features|scorer)/types\\.ts$)' },
    },
    {
      name: 'runtime-imports',
      severity: 'error',
      from: { path: '^processors/runtime/' },
      to: { path: '^processors/(engine/(?!ports|murmur2)|edge/|topology|cli)' },
    },
    {
      name: 'engine-imports',
      comment: 'engines implement the ports and know nothing above them',
      severity: 'error',
      from: { path: '^processors/engine/' },
      to: { path: '^processors/', pathNot: '^processors/(engine|app)/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.json'] },
  },
}

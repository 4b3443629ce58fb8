import os
import adbc_driver_flightsql.dbapi as flight

server = flight.connect(os.environ["FLIGHT"], db_kwargs={"adbc.flight.sql.rpc.call_header.x-api-key": os.environ["KEY"]})
points = server.cursor().execute("SELECT * FROM points WHERE metric = 'heart_rate'").fetch_df()

print(f"{len(points)} heart rates, {points['value'].mean():.1f} bpm on average")
server.close()

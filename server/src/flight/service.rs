//! The calls.

use std::pin::Pin;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandStatementQuery, CommandStatementUpdate, DoPutPreparedStatementResult,
    ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{Action, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, Ticket};
use engine::query::sql::{Permit, Query};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};

use super::credentials::{key_of, visitor};
use super::metadata;
use super::prepared::{Prepared, schema_bytes, values};
use super::shelf::{Server, Shelf};
use super::status::{elsewhere, gone, of_error, unsupported};
use crate::access::Visitor;
use crate::error::ApiError;
use crate::sql::{Admitted, Question};
use crate::state::AppState;

/// How long a ticket can be used.
const TICKET_LIFE: Duration = Duration::from_mins(1);
/// How long a prepared statement waits for its next use.
const STATEMENT_LIFE: Duration = Duration::from_mins(10);
/// About the longest message of rows, bytes; clients take 4 MiB by default.
const ROWS_BYTES_MAX: usize = 1 << 20;

type Answer<T> = Result<Response<T>, Status>;
type Rows = <Service as FlightService>::DoGetStream;
type Greetings = Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>;

/// Flight SQL over one server's state.
#[derive(Debug)]
pub(super) struct Service {
    state: AppState,
    server: Server,
    /// Plans that wait for their ticket.
    plans: Shelf<(Question, Query)>,
    statements: Shelf<Prepared>,
}

impl Service {
    pub(super) fn new(state: AppState) -> Self {
        let server = Server::new();
        Self { state, server, plans: Shelf::new(server, TICKET_LIFE), statements: Shelf::new(server, STATEMENT_LIFE) }
    }

    fn now(&self) -> Duration {
        self.state.clock.elapsed()
    }

    /// Why there is nothing behind a handle.
    fn missing(&self, handle: &[u8]) -> Status {
        if self.server.gave(handle) { gone() } else { elsewhere() }
    }

    /// Plans a question and answers the ticket to its rows.
    async fn info(&self, question: Question, descriptor: FlightDescriptor) -> Answer<FlightInfo> {
        let mut query = question.plan(&self.state).await.map_err(|error| of_error(&error))?;
        // Its place is another's until the ticket comes.
        query.hold(None);
        let (owner, schema) = (question.visitor.principal().user, query.schema());
        let handle = self.plans.put(owner, (question, query), self.now()).map_err(|error| of_error(&error))?;
        let ticket = TicketStatementQuery { statement_handle: handle.to_vec().into() };
        info(&schema, ticket.as_any().encode_to_vec(), descriptor)
    }

    /// Lets a planned question in and answers its rows.
    async fn rows(&self, question: &Question, query: Query) -> Answer<Rows> {
        let schema = query.schema();
        let Admitted { query, company } = question.admit(&self.state, query).await.map_err(|error| of_error(&error))?;
        let batches = company.watched(query.batches());
        let batches = batches.map_err(|broken| FlightError::from(of_error(&ApiError::from(broken))));
        Ok(Response::new(encoded(schema, batches)))
    }

    /// The question behind a handle of the caller's.
    fn question(&self, visitor: Visitor, handle: &[u8]) -> Result<Question, Status> {
        let owner = visitor.principal().user;
        let prepared = self.statements.with(owner, handle, self.now(), |prepared| prepared.clone());
        let Prepared { sql, params } = prepared.ok_or_else(|| self.missing(handle))?;
        Ok(Question { visitor, sql, params })
    }
}

/// Where something is to be had: here.
fn info(schema: &SchemaRef, ticket: Vec<u8>, descriptor: FlightDescriptor) -> Answer<FlightInfo> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
    let info = FlightInfo::new().try_with_schema(schema).map_err(|error| Status::internal(error.to_string()))?;
    Ok(Response::new(info.with_endpoint(endpoint).with_descriptor(descriptor)))
}

/// Batches as messages.
fn encoded(schema: SchemaRef, batches: impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static) -> Rows {
    let messages =
        FlightDataEncoderBuilder::new().with_schema(schema).with_max_flight_data_size(ROWS_BYTES_MAX).build(batches);
    messages.map_err(Status::from).boxed()
}

/// One batch as messages.
fn whole(batch: Result<RecordBatch, FlightError>) -> Answer<Rows> {
    let batch = batch.map_err(Status::from)?;
    Ok(Response::new(encoded(batch.schema(), stream::iter([Ok(batch)]))))
}

#[tonic::async_trait]
impl FlightSqlService for Service {
    type FlightService = Self;

    /// Takes a name and an API key, and answers the key as the token of all later calls.
    async fn do_handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Answer<Greetings> {
        visitor(&self.state, &request).await?;
        let given = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let key = given
            .and_then(key_of)
            .ok_or_else(|| Status::unauthenticated("the handshake takes a user name and an API key as its password"))?;
        let greeting = HandshakeResponse { protocol_version: 0, payload: key.clone().into() };
        let mut response: Response<Greetings> = Response::new(stream::iter([Ok(greeting)]).boxed());
        let token = format!("Bearer {key}").parse().map_err(|_| Status::unauthenticated("not an API key"))?;
        response.metadata_mut().insert("authorization", token);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        let visitor = visitor(&self.state, &request).await?;
        if query.transaction_id.is_some_and(|id| !id.is_empty()) {
            return Err(unsupported());
        }
        let question = Question { visitor, sql: query.query, params: Vec::new() };
        self.info(question, request.into_inner()).await
    }

    async fn do_get_statement(&self, ticket: TicketStatementQuery, request: Request<Ticket>) -> Answer<Rows> {
        let visitor = visitor(&self.state, &request).await?;
        let owner = visitor.principal().user;
        let taken = self.plans.take(owner, &ticket.statement_handle, self.now());
        let (question, mut query) = taken.ok_or_else(|| self.missing(&ticket.statement_handle))?;
        let place: Permit = std::sync::Arc::new(self.state.queries.begin(owner).map_err(|error| of_error(&error))?);
        query.hold(Some(place));
        // By the credential and from the address of this call.
        self.rows(&Question { visitor, ..question }, query).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let visitor = visitor(&self.state, &request).await?;
        if query.transaction_id.is_some_and(|id| !id.is_empty()) {
            return Err(unsupported());
        }
        let owner = visitor.principal().user;
        let question = Question { visitor, sql: query.query, params: Vec::new() };
        let (columns, params) = question.describe(&self.state).await.map_err(|error| of_error(&error))?;
        let prepared = Prepared { sql: question.sql, params: Vec::new() };
        let handle = self.statements.put(owner, prepared, self.now()).map_err(|error| of_error(&error))?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.to_vec().into(),
            dataset_schema: schema_bytes(&columns)?,
            parameter_schema: schema_bytes(&params)?,
        })
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let visitor = visitor(&self.state, &request).await?;
        let handle = query.prepared_statement_handle;
        let params = values(request.into_inner()).await?;
        let owner = visitor.principal().user;
        let put = self.statements.with(owner, &handle, self.now(), |prepared| prepared.params = params);
        put.ok_or_else(|| self.missing(&handle))?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        let visitor = visitor(&self.state, &request).await?;
        let question = self.question(visitor, &query.prepared_statement_handle)?;
        self.info(question, request.into_inner()).await
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Answer<Rows> {
        let visitor = visitor(&self.state, &request).await?;
        let question = self.question(visitor, &query.prepared_statement_handle)?;
        let query = question.plan(&self.state).await.map_err(|error| of_error(&error))?;
        self.rows(&question, query).await
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let visitor = visitor(&self.state, &request).await?;
        self.statements.take(visitor.principal().user, &query.prepared_statement_handle, self.now());
        Ok(())
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        visitor(&self.state, &request).await?;
        let ticket = query.as_any().encode_to_vec();
        info(&query.into_builder().schema(), ticket, request.into_inner())
    }

    async fn do_get_catalogs(&self, query: CommandGetCatalogs, request: Request<Ticket>) -> Answer<Rows> {
        visitor(&self.state, &request).await?;
        whole(metadata::catalogs(query))
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        visitor(&self.state, &request).await?;
        let ticket = query.as_any().encode_to_vec();
        info(&query.into_builder().schema(), ticket, request.into_inner())
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, request: Request<Ticket>) -> Answer<Rows> {
        visitor(&self.state, &request).await?;
        whole(metadata::schemas(query))
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        visitor(&self.state, &request).await?;
        let ticket = query.as_any().encode_to_vec();
        info(&query.into_builder().schema(), ticket, request.into_inner())
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Answer<Rows> {
        let visitor = visitor(&self.state, &request).await?;
        let batch = metadata::tables(&self.state, visitor, query).await?;
        whole(Ok(batch))
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        visitor(&self.state, &request).await?;
        let ticket = query.as_any().encode_to_vec();
        info(&query.into_builder().schema(), ticket, request.into_inner())
    }

    async fn do_get_table_types(&self, query: CommandGetTableTypes, request: Request<Ticket>) -> Answer<Rows> {
        visitor(&self.state, &request).await?;
        whole(metadata::table_types(query))
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        visitor(&self.state, &request).await?;
        let ticket = query.as_any().encode_to_vec();
        info(&query.into_builder(metadata::sql_info()?).schema(), ticket, request.into_inner())
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, request: Request<Ticket>) -> Answer<Rows> {
        visitor(&self.state, &request).await?;
        whole(query.into_builder(metadata::sql_info()?).build())
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        visitor(&self.state, &request).await?;
        info(&metadata::PRIMARY_SCHEMA, query.as_any().encode_to_vec(), request.into_inner())
    }

    async fn do_get_primary_keys(&self, query: CommandGetPrimaryKeys, request: Request<Ticket>) -> Answer<Rows> {
        visitor(&self.state, &request).await?;
        whole(metadata::primary(&query))
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        visitor(&self.state, &request).await?;
        info(&metadata::FOREIGN_SCHEMA, query.as_any().encode_to_vec(), request.into_inner())
    }

    async fn do_get_exported_keys(&self, _query: CommandGetExportedKeys, request: Request<Ticket>) -> Answer<Rows> {
        visitor(&self.state, &request).await?;
        whole(Ok(metadata::foreign()))
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        visitor(&self.state, &request).await?;
        info(&metadata::FOREIGN_SCHEMA, query.as_any().encode_to_vec(), request.into_inner())
    }

    async fn do_get_imported_keys(&self, _query: CommandGetImportedKeys, request: Request<Ticket>) -> Answer<Rows> {
        visitor(&self.state, &request).await?;
        whole(Ok(metadata::foreign()))
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        visitor(&self.state, &request).await?;
        info(&metadata::FOREIGN_SCHEMA, query.as_any().encode_to_vec(), request.into_inner())
    }

    async fn do_get_cross_reference(&self, _query: CommandGetCrossReference, request: Request<Ticket>) -> Answer<Rows> {
        visitor(&self.state, &request).await?;
        whole(Ok(metadata::foreign()))
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        visitor(&self.state, &request).await?;
        let ticket = query.as_any().encode_to_vec();
        info(&query.into_builder(metadata::types()?).schema(), ticket, request.into_inner())
    }

    async fn do_get_xdbc_type_info(&self, query: CommandGetXdbcTypeInfo, request: Request<Ticket>) -> Answer<Rows> {
        visitor(&self.state, &request).await?;
        whole(query.into_builder(metadata::types()?).build())
    }

    async fn do_put_statement_update(
        &self,
        _ticket: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        visitor(&self.state, &request).await?;
        Err(unsupported())
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
